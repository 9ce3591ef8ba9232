// Asks before a button does what cannot be undone.

import { el } from "./dom.js";
import { plain, said } from "./text.js";

export function confirmed(confirm) {
  return new Promise((resolve) => {
    const answer = (yes) => () => {
      dialog.remove();
      resolve(yes);
    };
    const dialog = el("dialog", { class: "confirm", "data-testid": "confirm", "aria-label": confirm.title.text, oncancel: answer(false) },
      el("h2", {}, plain(confirm.title.text)), el("div", { class: "text" }, said(confirm.text)),
      el("footer", {},
        el("button", { type: "button", class: "button", "data-testid": "confirm-no", onclick: answer(false) }, plain(confirm.deny.text)),
        el("button", { type: "button", class: `button ${confirm.style ?? "primary"}`, "data-testid": "confirm-yes", onclick: answer(true) }, plain(confirm.confirm.text))));
    document.getElementById("dialogs").append(dialog);
    dialog.showModal();
  });
}
