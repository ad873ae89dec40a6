// A text that is not saved survives: a draft in the storage of this tab, and a question before the page is left.
const PREFIX = "headrace-draft:";
const SENDING_MS = 1000; // Milliseconds from the sending of a form to the page that follows, or to its download.

export function watchDrafts() {
  for (const form of document.querySelectorAll("form[data-draft]")) watch(form);
  document.querySelector("form[action$='/logout']")?.addEventListener("submit", dropAll);
}

function dropAll() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(PREFIX)) sessionStorage.removeItem(key);
}

function watch(form) {
  const area = form.elements.definition;
  const key = PREFIX + form.dataset.draft;
  // What the proxy has; a text that came back with its problems is not that.
  const stored = "unsaved" in form.dataset ? null : area.value;
  const isUnsaved = () => area.value !== stored;
  const keep = () => (isUnsaved() ? sessionStorage.setItem(key, area.value) : sessionStorage.removeItem(key));
  let sent = false;

  if (form.dataset.saved) {
    sessionStorage.removeItem(key);
    sessionStorage.removeItem(PREFIX + form.dataset.saved);
    history.replaceState(null, "", location.pathname);
  }
  if (isUnsaved()) keep();
  else offer(area, key);
  for (const event of ["edited", "input"]) area.addEventListener(event, keep);
  form.addEventListener("submit", () => {
    sent = true;
    setTimeout(() => (sent = false), SENDING_MS);
  });
  addEventListener("beforeunload", (event) => {
    if (!sent && isUnsaved()) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "s" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    form.requestSubmit(form.querySelector("[data-save]"));
  });
}

function offer(area, key) {
  const draft = sessionStorage.getItem(key);
  const notice = document.getElementById("draft");
  if (draft === null || draft === area.value || !notice) return;
  notice.hidden = false;
  notice.querySelector("[data-restore]").addEventListener("click", () => {
    notice.hidden = true;
    area.dispatchEvent(new CustomEvent("restore", { detail: draft }));
  });
  notice.querySelector("[data-discard]").addEventListener("click", () => {
    notice.hidden = true;
    sessionStorage.removeItem(key);
  });
}
