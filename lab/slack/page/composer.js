// The box to type in: sends on Enter, suggests slash commands, says how the app took one.

import { el, icon, PATHS } from "./dom.js";

// Fills `form`. `submit(text)` returns a promise of a line to show below; `commands()` gives what to suggest.
export function composer(form, { label, testid, submit, commands }) {
  let marked = 0;
  const menu = el("ul", { class: "suggestions", role: "listbox", id: `${testid}-menu`, "data-testid": `${testid}-suggestions`, hidden: true });
  const box = el("textarea", {
    rows: 1, "aria-label": label, placeholder: label, "data-testid": testid, "aria-autocomplete": "list", "aria-controls": menu.id,
  });
  const note = el("p", { class: "note", role: "status", "data-testid": `${testid}-note` });

  const matching = () => (/^\/\S*$/.test(box.value) ? commands().filter((one) => one.name.startsWith(box.value) && one.name !== box.value) : []);
  const complete = (command) => {
    box.value = `${command.name} `;
    suggest();
    box.focus();
  };
  const suggest = () => {
    const found = matching();
    marked = Math.min(marked, Math.max(0, found.length - 1));
    menu.hidden = found.length === 0;
    menu.replaceChildren(...found.map((command, index) =>
      el("li", { role: "option", "aria-selected": String(index === marked), "data-testid": `suggest-${command.name.slice(1)}`, onmousedown: (event) => { event.preventDefault(); complete(command); } },
        el("strong", {}, command.name), el("span", {}, command.description), el("code", {}, command.usage))));
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 160)}px`;
  };
  const go = async () => {
    const text = box.value.trim();
    if (!text) return;
    box.value = "";
    suggest();
    form.classList.add("busy");
    note.textContent = await submit(text);
    form.classList.remove("busy");
  };
  box.addEventListener("input", suggest);
  box.addEventListener("blur", () => (menu.hidden = true));
  box.addEventListener("focus", suggest);
  box.addEventListener("keydown", (event) => {
    const found = menu.hidden ? [] : matching();
    if (found.length && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      marked = (marked + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length;
      suggest();
    } else if (found.length && (event.key === "Tab" || event.key === "Enter")) {
      event.preventDefault();
      complete(found[marked]);
    } else if (event.key === "Escape" && found.length) {
      event.stopPropagation();
      menu.hidden = true;
    } else if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      go();
    }
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  form.replaceChildren(menu,
    el("div", { class: "box" }, box, el("button", { class: "send", "aria-label": "Send", "data-testid": `${testid}-send` }, icon(PATHS.send))), note);
  return box;
}
