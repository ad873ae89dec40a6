// Places in a text of JSON by the paths that errors name: `stages[1].config.udf_name`.
import { syntaxTree } from "@codemirror/language";

export function steps(path) {
  return [...path.matchAll(/\[(\d+)\]|([^.[\]]+)/g)].map(([, index, name]) => (index ? Number(index) : name));
}

export function textOf(state, node) {
  return state.sliceDoc(node.from, node.to);
}

export function nameOf(state, property) {
  const name = property.getChild("PropertyName");
  if (!name) return undefined;
  try {
    return JSON.parse(textOf(state, name));
  } catch {
    return undefined;
  }
}

const VALUES = ["Object", "Array", "String", "Number", "True", "False", "Null"];

export function valueOf(property) {
  for (let child = property.firstChild; child; child = child.nextSibling) {
    if (VALUES.includes(child.name)) return child;
  }
  return null;
}

export function elements(array) {
  const found = [];
  for (let child = array.firstChild; child; child = child.nextSibling) {
    if (VALUES.includes(child.name)) found.push(child);
  }
  return found;
}

export function rangeOf(state, path, offset) {
  if (offset >= 0) {
    const at = Math.min(offset, state.doc.length);
    return { from: at, to: Math.min(at + 1, state.doc.length) };
  }
  let node = syntaxTree(state).topNode.firstChild;
  let range = node ? { from: node.from, to: Math.min(node.from + 1, state.doc.length) } : { from: 0, to: 0 };
  for (const step of steps(path)) {
    if (!node) break;
    if (typeof step === "number") {
      node = node.name === "Array" ? elements(node)[step] : null;
      if (node) range = { from: node.from, to: Math.min(node.from + 1, state.doc.length) };
    } else {
      const property = node.name === "Object" && node.getChildren("Property").find((p) => nameOf(state, p) === step);
      const name = property && property.getChild("PropertyName");
      if (name) range = { from: name.from, to: name.to };
      node = property ? valueOf(property) : null;
    }
  }
  return range;
}
