// A text area of JSON becomes an editor: colours, completion from a JSON Schema, problems as the server finds them.
// It lives in a shadow root, where its style sheet is an object and no markup: the page's policy allows no inline style.
import { autocompletion, closeBrackets, completionKeymap, closeBracketsKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { setDiagnostics } from "@codemirror/lint";
import { EditorState } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { completionsAt } from "./complete.js";
import { rangeOf } from "./paths.js";

const colours = HighlightStyle.define([
  { tag: tags.propertyName, color: "var(--code-name)" },
  { tag: tags.string, color: "var(--code-text)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--code-number)" },
]);

const theme = EditorView.theme({
  "&": { color: "var(--ink)", backgroundColor: "var(--field)", fontSize: "var(--code-size)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", minHeight: "24rem", maxHeight: "70vh" },
  ".cm-content": { caretColor: "var(--ink)", padding: "0.6rem 0" },
  ".cm-cursor": { borderLeftColor: "var(--ink)" },
  ".cm-gutters": { backgroundColor: "var(--field)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection)" },
  ".cm-matchingBracket": { backgroundColor: "var(--selection)", outline: "none" },
  ".cm-tooltip": {
    color: "var(--ink)",
    backgroundColor: "var(--raised)",
    border: "1px solid var(--line)",
    borderRadius: "6px",
    boxShadow: "0 6px 24px var(--shadow)",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "var(--code-size)" },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li": { padding: "0.2rem 0.6rem" },
  ".cm-tooltip-autocomplete ul li[aria-selected]": { backgroundColor: "var(--accent)", color: "var(--on-accent)" },
  ".cm-tooltip.cm-completionInfo": { padding: "0.5rem 0.75rem", maxWidth: "22rem", fontFamily: "var(--sans)" },
  ".cm-completionDetail": { color: "inherit", opacity: "0.75", fontStyle: "normal", marginLeft: "0.75em" },
  ".cm-diagnostic-error": { borderLeftColor: "var(--bad)" },
  ".cm-lintRange-error": { textDecoration: "underline wavy var(--bad)", backgroundImage: "none" },
});

let schema;
function schemaOf(url) {
  schema ??= fetch(url, { credentials: "same-origin" })
    .then((answer) => (answer.ok ? answer.json() : {}))
    .catch(() => ({}));
  return schema;
}

export function attachEditors(root) {
  for (const area of root.querySelectorAll("textarea[data-editor]")) {
    if (!area.dataset.attached) attach(area);
  }
}

function attach(area) {
  area.dataset.attached = "true";
  const host = document.createElement("div");
  host.className = "editor";
  const shadow = host.attachShadow({ mode: "open", delegatesFocus: true });
  const label = area.labels[0]?.textContent.trim() ?? "JSON";
  const readOnly = area.readOnly;
  const extensions = [
    lineNumbers(),
    history(),
    drawSelection(),
    indentOnInput(),
    indentUnit.of("  "),
    bracketMatching(),
    closeBrackets(),
    highlightActiveLine(),
    syntaxHighlighting(colours),
    json(),
    theme,
    // Tab leaves the editor, so that nobody who works by keyboard is caught in it.
    keymap.of([...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    EditorState.readOnly.of(readOnly),
    EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      area.value = update.state.doc.toString();
      area.dispatchEvent(new CustomEvent("edited", { bubbles: true }));
    }),
  ];
  if (area.dataset.schema) {
    const wanted = area.dataset.schema;
    const complete = async (context) => completionsAt(context, await schemaOf(wanted));
    extensions.push(autocompletion({ override: [complete], icons: false, activateOnTyping: true }));
  }
  area.before(host);
  const view = new EditorView({ doc: area.value, extensions, parent: shadow, root: shadow });
  area.hidden = true;
  area.labels[0]?.addEventListener("click", () => view.focus());
  area.addEventListener("restore", (event) => {
    view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: event.detail } });
    view.focus();
  });
  showProblems(view, area);
  document.addEventListener("htmx:after:swap", () => showProblems(view, area));
}

// The list of problems is the server's; each names a path in the text.
function showProblems(view, area) {
  const list = document.getElementById(area.dataset.problems ?? "");
  if (!list || !host(view)) return;
  const found = [...list.querySelectorAll("[data-path]")].map((each) => ({
    ...rangeOf(view.state, each.dataset.path, Number(each.dataset.offset ?? -1)),
    severity: "error",
    message: each.querySelector("[data-reason]")?.textContent ?? each.textContent,
  }));
  view.dispatch(setDiagnostics(view.state, found));
}

function host(view) {
  return view.dom.isConnected;
}
