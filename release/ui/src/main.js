// The script of the page. Without it every page can be read, and every form can be sent.
import htmx from "htmx.org";
import { watchDrafts } from "./drafts.js";
import { attachEditors } from "./editor.js";

window.htmx = htmx;

function revealScripted() {
  document.documentElement.classList.add("scripted");
}

// A menu or a set of tabs is plain links; a table row is reached by its link. Only the editor and its drafts need more.
function start() {
  revealScripted();
  attachEditors(document);
  watchDrafts();
}

document.addEventListener("htmx:after:swap", () => attachEditors(document));
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
