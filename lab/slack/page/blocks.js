// Draws Block Kit. `act(element, block, value)` is called for what a reader presses or chooses.

import { bytes, el, icon, PATHS } from "./dom.js";
import { mrkdwn, plain, rich, said } from "./text.js";
import { confirmed } from "./confirm.js";

const STATES = {
  pending: ["to do", "todo"],
  in_progress: ["running", "running"],
  complete: ["done", "done"],
  error: ["failed", "failed"],
};
const MENUS = ["static_select", "overflow", "users_select", "radio_buttons", "checkboxes", "datepicker", "timepicker"];

export function draw(blocks, act) {
  return blocks.map((block) => el("div", { class: `block ${block.type}`, "data-block": block.block_id },
    (DRAWERS[block.type] ?? unknown)(block, act)));
}

const unknown = (block) => `(${block.type})`;

const DRAWERS = {
  section: (block, act) => [
    el("div", { class: "said" },
      block.text && el("div", { class: "text" }, said(block.text)),
      block.fields && el("dl", { class: "fields" }, block.fields.map((field) => el("dd", {}, said(field))))),
    block.accessory && el("div", { class: "accessory" }, pressable(block.accessory, block, act)),
  ],
  header: (block) => el("h3", {}, plain(block.text.text)),
  context: (block) => block.elements.map((part) =>
    part.type === "image" ? picture(part) : el("span", {}, said(part))),
  divider: () => el("hr"),
  actions: (block, act) => block.elements.map((element) => pressable(element, block, act)),
  image: (block) => el("figure", {}, picture(block), block.title && el("figcaption", {}, plain(block.title.text))),
  rich_text: (block) => rich(block),
  markdown: (block) => mrkdwn(block.text.replace(/\*\*/g, "*")),
  plan: (block) => plan(block),
  task_card: (block) => el("ol", { class: "tasks" }, task(block)),
  table: (block) => el("div", { class: "scroll" }, el("table", {}, block.rows.map((row, number) =>
    el("tr", {}, row.map((cell) => el(number ? "td" : "th", {}, cell.type === "rich_text" ? rich(cell) : cell.text ?? String(cell.value))))))),
  alert: (block) => el("p", { class: `alert ${block.level ?? "default"}`, role: "note" }, said(block.text)),
  input: (block) => el("p", { class: "hint" }, `${block.label.text} (answered in a form)`),
};

function picture(part) {
  if (part.slack_file?.id) return el("img", { src: `/desk/files/${part.slack_file.id}`, alt: part.alt_text });
  return el("span", { class: "no-picture", role: "img", "aria-label": part.alt_text }, part.alt_text);
}

function plan(block) {
  const tasks = block.tasks ?? [];
  const done = tasks.filter((one) => one.status === "complete").length;
  const bar = el("span", { class: tasks.some((one) => one.status === "error") ? "bar bad" : "bar" }, el("i"));
  bar.firstChild.style.width = `${tasks.length ? (100 * done) / tasks.length : 0}%`;
  return [
    el("div", { class: "plan-head" }, el("strong", {}, plain(block.title)),
      tasks.length > 0 && el("span", { class: "count" }, `${done} of ${tasks.length} done`)),
    tasks.length > 0 && bar,
    el("ol", { class: "tasks" }, tasks.map(task)),
  ];
}

function task(card) {
  const [word, look] = STATES[card.status];
  return el("li", { class: `task ${look}`, "data-task": card.task_id, "data-status": card.status },
    el("span", { class: "mark" }, icon(PATHS[look])),
    el("div", { class: "task-body" },
      el("div", { class: "task-line" }, el("span", { class: "task-title" }, plain(card.title)), el("span", { class: "state" }, word)),
      card.details && el("div", { class: "details" }, rich(card.details)),
      card.output && el("details", { class: "output", open: card.status === "error" }, el("summary", {}, "Output"), rich(card.output)),
      card.sources?.map((source) => el("a", { href: source.url, rel: "noopener noreferrer", target: "_blank" }, source.text))));
}

// --- what can be pressed -----------------------------------------------------------------------------------------

function pressable(element, block, act) {
  if (element.type === "image") return picture(element);
  if (MENUS.includes(element.type)) {
    return control(element, (value) => act(element, block, value));
  }
  const press = async (event) => {
    const node = event.currentTarget;
    if (element.confirm && !(await confirmed(element.confirm))) return;
    node.classList.add("busy");
    await act(element, block, element.value ?? null);
    node.classList.remove("busy");
  };
  return el("button", {
    type: "button", class: `button ${element.style ?? ""}`, onclick: press,
    "data-testid": `action-${element.action_id}`, "data-value": element.value, "aria-label": element.accessibility_label,
  }, plain(element.text.text));
}

// A menu, boxes, a date or a time; `tell` gets an option's value, a list of them, or a text.
export function control(element, tell, value) {
  const testid = `field-${element.action_id}`;
  if (element.type === "radio_buttons" || element.type === "checkboxes") return boxes(element, tell, value, testid);
  if (element.type === "datepicker" || element.type === "timepicker") {
    const kind = element.type === "datepicker" ? "date" : "time";
    return el("input", { type: kind, "data-testid": testid, value: value ?? element[`initial_${kind}`] ?? "", onchange: (event) => tell(event.target.value) });
  }
  const options = element.type === "users_select" ? people() : element.options;
  const chosen = value ?? element.initial_option?.value ?? element.initial_user;
  return el("select", { "data-testid": testid, "aria-label": element.placeholder?.text ?? "Choose", onchange: (event) => tell(event.target.value) },
    el("option", { value: "", disabled: true, selected: !chosen }, element.placeholder?.text ?? "Choose"),
    options.map((option) => el("option", { value: option.value, selected: option.value === chosen }, plain(option.text.text))));
}

function boxes(element, tell, value, testid) {
  const single = element.type === "radio_buttons";
  const chosen = new Set(single ? [value ?? element.initial_option?.value] : value ?? (element.initial_options ?? []).map((one) => one.value));
  const pick = (event) => {
    if (single) return tell(event.target.value);
    event.target.checked ? chosen.add(event.target.value) : chosen.delete(event.target.value);
    return tell([...chosen]);
  };
  return el("div", { class: "boxes", role: "group", "data-testid": testid }, element.options.map((option) =>
    el("label", {}, el("input", { type: single ? "radio" : "checkbox", name: element.action_id, value: option.value, checked: chosen.has(option.value), onchange: pick }),
      el("span", {}, said(option.text), option.description && el("small", {}, said(option.description))))));
}

let directory = [];
export function knowPeople(users) {
  directory = users.filter((user) => !user.is_bot && !user.deleted);
}
const people = () => directory.map((user) => ({ value: user.id, text: { text: user.real_name } }));

// --- files ---------------------------------------------------------------------------------------------------------

export function files(list) {
  return list.map((file) => {
    const address = `/desk/files/${file.id}`;
    const image = /^image\/(png|jpeg|gif|webp)$/.test(file.mimetype);
    return el("figure", { class: "file", "data-file": file.id },
      el("figcaption", {}, icon(PATHS.file),
        el("span", { class: "file-name" }, file.title || file.name), el("span", { class: "file-size" }, bytes(file.size)),
        el("a", { href: address, download: file.name, "aria-label": `Download ${file.name}` }, icon(PATHS.down))),
      image && el("img", { src: address, alt: file.title || file.name }),
      file.preview && el("pre", {}, file.preview));
  });
}
