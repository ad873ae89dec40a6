// Completion from a JSON Schema (2020-12, as far as the schema of pipelines uses it).
import { syntaxTree } from "@codemirror/language";
import { elements, nameOf, textOf, valueOf } from "./paths.js";

function parsed(state, node) {
  if (node.name === "Object") {
    const found = {};
    for (const property of node.getChildren("Property")) {
      const name = nameOf(state, property);
      const value = valueOf(property);
      if (name !== undefined && value) found[name] = parsed(state, value);
    }
    return found;
  }
  if (node.name === "Array") return elements(node).map((each) => parsed(state, each));
  try {
    return JSON.parse(textOf(state, node));
  } catch {
    return undefined;
  }
}

// All schemas that apply to a value, references and conditions resolved.
function applied(root, schema, value, depth = 0) {
  if (!schema || typeof schema !== "object" || depth > 24) return [];
  const found = [schema];
  const add = (each) => found.push(...applied(root, each, value, depth + 1));
  if (schema.$ref) add(schema.$ref.split("/").slice(1).reduce((at, part) => at?.[part], root));
  (schema.allOf ?? []).forEach(add);
  (schema.anyOf ?? []).forEach(add);
  (schema.oneOf ?? []).forEach(add);
  if (schema.if) {
    if (holds(schema.if, value)) add(schema.then);
    else if (schema.else) add(schema.else);
  }
  return found;
}

function holds(condition, value) {
  if (!value || typeof value !== "object") return false;
  if ((condition.required ?? []).some((name) => !(name in value))) return false;
  return Object.entries(condition.properties ?? {}).every(([name, facts]) => {
    if (!(name in value)) return true;
    if ("const" in facts) return facts.const === value[name];
    return !facts.enum || facts.enum.includes(value[name]);
  });
}

// The schemas of the value at a node, from the root of the text down to it.
function schemasOf(state, root, node) {
  const parent = node.parent;
  if (!parent || node.name === "JsonText") return [root];
  if (parent.name === "JsonText") return applied(root, root, parsed(state, node));
  let below = [];
  if (parent.name === "Property") {
    const object = parent.parent;
    const name = nameOf(state, parent);
    below = schemasOf(state, root, object).flatMap((schema) => {
      const more = schema.additionalProperties;
      return schema.properties?.[name] ?? (typeof more === "object" ? more : []);
    });
  } else if (parent.name === "Array") {
    below = schemasOf(state, root, parent).flatMap((schema) => schema.items ?? []);
  }
  return below.flatMap((schema) => applied(root, schema, parsed(state, node)));
}

function kindsOf(root, schema) {
  const all = applied(root, schema, undefined);
  const kinds = new Set(all.flatMap((each) => each.type ?? []));
  if (all.some((each) => each.properties)) kinds.add("object");
  return [...kinds].filter((kind) => kind !== "null");
}

function opening(root, schema) {
  const all = applied(root, schema, undefined);
  const chosen = all.find((each) => "default" in each && each.default !== null && typeof each.default !== "object");
  if (chosen) return JSON.stringify(chosen.default);
  const kind = kindsOf(root, schema)[0];
  return { object: "{}", array: "[]", boolean: "true", string: '""' }[kind] ?? "";
}

export function completionsAt(context, root) {
  if (!root.$schema) return null;
  const { state, pos } = context;
  const node = syntaxTree(state).resolveInner(pos, -1);
  const inName = node.name === "PropertyName";
  const inObject = node.name === "Object" || node.name === "{" || node.name === "⚠" || node.name === ",";
  const object = inName ? node.parent.parent : enclosing(node, "Object");
  const property = !inName && enclosing(node, "Property");
  const inside = property && (!object || property.from > object.from);
  if (object && (inName || (inObject && !inside))) return names(context, root, object, inName ? node : null);
  return values(context, root, node, property);
}

function enclosing(node, name) {
  for (let at = node; at; at = at.parent) if (at.name === name) return at;
  return null;
}

function names(context, root, object, node) {
  const { state, pos } = context;
  const word = context.matchBefore(/"?[\w.]*/);
  if (!node && !context.explicit && (!word || word.from === word.to)) return null;
  const written = new Set(object.getChildren("Property").map((each) => nameOf(state, each)));
  const own = node ? nameOf(state, node) : undefined;
  const options = new Map();
  for (const schema of schemasOf(state, root, object)) {
    for (const [name, facts] of Object.entries(schema.properties ?? {})) {
      if (options.has(name) || (written.has(name) && name !== own)) continue;
      const followed = node && /^\s*:/.test(state.sliceDoc(node.to, node.to + 20));
      const value = followed ? "" : `: ${opening(root, facts)}`;
      const text = `${JSON.stringify(name)}${value}`;
      const back = /("|\{|\[)(?:"|\}|\])$/.test(value) ? 1 : 0;
      options.set(name, {
        label: name,
        filterText: name,
        detail: kindsOf(root, facts).join(" or "),
        info: facts.description,
        boost: (schema.required ?? []).includes(name) ? 1 : 0,
        apply: (view, _, from, to) => {
          view.dispatch({
            changes: { from, to, insert: text },
            selection: { anchor: from + text.length - back },
            userEvent: "input.complete",
          });
        },
      });
    }
  }
  const from = node ? node.from : word ? word.from : pos;
  const to = node ? node.to : pos;
  return { from, to, options: [...options.values()].map(quoted), filter: true };
}

// The text before the cursor begins with a quote, and so must what it is compared with.
function quoted(option) {
  return { ...option, displayLabel: option.label, label: `"${option.label}"` };
}

function values(context, root, node, property) {
  const literal = ["String", "Number", "True", "False", "Null"].includes(node.name) ? node : null;
  if (!property && !literal) return null;
  const { state, pos } = context;
  // A text whose end is not written yet is no value for the parser.
  const word = literal ? null : context.matchBefore(/"[^"\n]*|\w+/);
  if (!literal && !word && !context.explicit) return null;
  const from = literal ? literal.from : word ? word.from : pos;
  const at = literal ?? { parent: property, name: "String", from, to: pos };
  const options = new Map();
  const add = (value, info) => {
    if (value === null || typeof value === "object") return;
    const label = JSON.stringify(value);
    if (!options.has(label)) options.set(label, { label, info });
  };
  for (const schema of schemasOf(state, root, at)) {
    (schema.enum ?? []).forEach((value) => add(value, undefined));
    if ("const" in schema) add(schema.const, schema.description);
    if (schema.type === "boolean") [true, false].forEach((value) => add(value, undefined));
    (schema.examples ?? []).forEach((value) => add(value, "in the registry"));
  }
  if (!options.size) return null;
  return { from, to: literal ? literal.to : pos, options: [...options.values()] };
}
