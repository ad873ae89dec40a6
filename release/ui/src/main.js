// The script of the page. Without it every page can be read, and every form can be sent.
import htmx from "htmx.org";
import { attachEditors } from "./editor.js";

window.htmx = htmx;

function revealScripted() {
  document.documentElement.classList.add("scripted");
}

// A menu or a set of tabs is plain links; a table row is reached by its link. Only the editor needs more.
function start() {
  revealScripted();
  attachEditors(document);
}

document.addEventListener("htmx:after:swap", () => attachEditors(document));
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
