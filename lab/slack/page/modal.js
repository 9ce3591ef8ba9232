// Shows the modal that the app has opened: a form of Block Kit inputs.

import { el, icon, PATHS } from "./dom.js";
import { control, draw } from "./blocks.js";
import { send, upload } from "./client.js";
import { plain } from "./text.js";

const host = document.getElementById("dialogs");

let shown = null; // {view, user, values, dialog}

// Brings the dialog in step with the person's open modal, or takes it away. What was typed stays.
export function showModal(user, view) {
  if (shown && (!view || view.id !== shown.view.id || user !== shown.user)) {
    shown.dialog.remove();
    shown = null;
  }
  if (!view) return;
  if (shown && JSON.stringify(shown.view) === JSON.stringify(view)) return;
  const fresh = !shown;
  if (fresh) {
    const dialog = el("dialog", { class: "modal", "data-testid": "modal", "aria-label": view.title.text, oncancel: cancel });
    shown = { user, view, dialog, values: {}, names: {} };
    host.append(dialog);
  }
  shown.view = view;
  const focused = document.activeElement?.name;
  shown.dialog.replaceChildren(form(view));
  if (fresh) shown.dialog.showModal();
  const again = [...shown.dialog.querySelectorAll("[name]")].find((one) => one.name === (focused || undefined));
  (again ?? shown.dialog.querySelector("input, textarea, select, footer button"))?.focus();
}

function cancel(event) {
  event.preventDefault();
  send("close", { user: shown.user });
}

function form(view) {
  const busy = (on) => shown?.dialog.classList.toggle("busy", on);
  const submit = async (event) => {
    event.preventDefault();
    busy(true);
    const done = await send("submit", { user: shown.user, values: shown.values });
    busy(false);
    return done;
  };
  return el("form", { onsubmit: submit, novalidate: true },
    el("header", {}, el("h2", {}, plain(view.title.text)),
      el("button", { type: "button", class: "quiet", "aria-label": "Close", "data-testid": "modal-x", onclick: cancel }, icon(PATHS.close))),
    el("div", { class: "modal-body" },
      view.trouble && el("p", { class: "alert error", role: "alert", "data-testid": "modal-trouble" }, view.trouble),
      view.blocks.map((block) => (block.type === "input" ? input(block, view) : draw([block], act)))),
    el("footer", {},
      el("button", { type: "button", class: "button", onclick: cancel, "data-testid": "modal-close" }, view.close ? plain(view.close.text) : "Cancel"),
      view.submit && el("button", { type: "submit", class: "button primary", "data-testid": "modal-submit" }, plain(view.submit.text))));
}

async function act(element, block, value) {
  await send("fill", { user: shown.user, values: shown.values });
  await send("press", { user: shown.user, action_id: element.action_id, block_id: block.block_id, value });
}

function input(block, view) {
  const { element } = block;
  const error = view.errors[block.block_id];
  const id = `input-${block.block_id}`;
  const keep = (value) => (shown.values[block.block_id] = { [element.action_id]: value });
  const field = element.type === "file_input" ? fileField(block, id, keep) : valueField(block, id, keep, view);
  return el("div", { class: error ? "field wrong" : "field", "data-block": block.block_id },
    el("label", { for: id }, plain(block.label.text), block.optional && el("span", { class: "optional" }, " (optional)")),
    field,
    error && el("p", { class: "error", role: "alert", "data-testid": `error-${block.block_id}` }, error),
    block.hint && el("p", { class: "hint" }, plain(block.hint.text)));
}

function valueField(block, id, keep, view) {
  const { element } = block;
  const entered = shown.values[block.block_id]?.[element.action_id];
  if (element.type !== "plain_text_input") {
    const node = control(element, keep, entered);
    node.id = id;
    return node;
  }
  const stored = view.state.values[block.block_id]?.[element.action_id]?.value;
  return el(element.multiline ? "textarea" : "input", {
    id, name: id, type: element.multiline ? null : "text", rows: element.multiline ? 4 : null,
    "data-testid": `field-${element.action_id}`, placeholder: element.placeholder?.text, maxlength: element.max_length,
    value: entered ?? stored ?? "", oninput: (event) => keep(event.target.value),
  });
}

function fileField(block, id, keep) {
  const { element } = block;
  const list = el("p", { class: "chosen", "data-testid": `chosen-${element.action_id}` }, shown.names[id] ?? "No file yet");
  const choose = async (event) => {
    const picked = [...event.target.files].slice(0, element.max_files ?? 10);
    list.textContent = "Uploading";
    const stored = [];
    for (const file of picked) stored.push(await upload(shown.user, file));
    keep(stored.map((file) => file.id));
    list.textContent = shown.names[id] = picked.map((file) => file.name).join(", ");
  };
  return el("div", { class: "drop" },
    el("input", { id, name: id, type: "file", "data-testid": `file-${element.action_id}`, multiple: (element.max_files ?? 10) > 1,
      accept: (element.filetypes ?? []).map((kind) => `.${kind}`).join(",") || null, onchange: choose }),
    list);
}
