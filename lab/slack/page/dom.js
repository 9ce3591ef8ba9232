// Makes elements. Text goes in as text nodes only: nothing that somebody wrote is ever read as HTML.

export function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "class") node.className = value;
    else if (key === "value") node.value = value;
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child || child === 0));
  return node;
}

export function icon(path, className = "icon") {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

export const PATHS = {
  done: "M3.5 8.5l3 3 6-7",
  failed: "M4.5 4.5l7 7m0-7l-7 7",
  running: "M8 2.5a5.5 5.5 0 1 1-5.5 5.5",
  todo: "M8 3.5a4.5 4.5 0 1 0 .01 0",
  eye: "M1.5 8c2-3.3 4.2-4.5 6.5-4.5S12.5 4.7 14.5 8c-2 3.3-4.2 4.5-6.5 4.5S3.5 11.3 1.5 8zm6.5-1.7a1.7 1.7 0 1 0 .01 0",
  file: "M4 1.5h5l3 3v10H4zM9 1.5v3h3",
  down: "M8 2.5v8m-3.5-3L8 10.5l3.5-3M3 13.5h10",
  close: "M4 4l8 8m0-8l-8 8",
  send: "M2.5 13.5l11.5-5.5L2.5 2.5v4.3L9 8l-6.5 1.2z",
  lock: "M4.5 7.5h7v6h-7zM6 7.5v-2a2 2 0 0 1 4 0v2",
};

// Keeps the children of `list` in step with `items`, and touches only what changed, so that what a reader has
// opened or focused stays as it is. `key` names an item, `draw` makes its node.
export function reconcile(list, items, key, draw) {
  const before = new Map([...list.children].map((node) => [node.dataset.key, node]));
  let place = list.firstElementChild;
  for (const item of items) {
    const name = key(item);
    const print = JSON.stringify(item);
    let node = before.get(name);
    before.delete(name);
    if (!node || node.print !== print) {
      const fresh = draw(item);
      fresh.dataset.key = name;
      fresh.print = print;
      if (node) {
        keepOpen(node, fresh);
        if (node === place) place = fresh;
        node.replaceWith(fresh);
      }
      node = fresh;
    }
    if (node === place) place = place.nextElementSibling;
    else list.insertBefore(node, place);
  }
  for (const gone of before.values()) gone.remove();
}

function keepOpen(from, to) {
  const opened = [...from.querySelectorAll("details")];
  [...to.querySelectorAll("details")].forEach((one, index) => {
    if (opened[index]) one.open = opened[index].open;
  });
}

export function clock(ts) {
  return new Date(Number(ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

export function day(ts) {
  return new Date(Number(ts) * 1000).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

export function bytes(count) {
  if (count < 1024) return `${count} bytes`;
  return count < 1024 * 1024 ? `${(count / 1024).toFixed(1)} KB` : `${(count / 1048576).toFixed(1)} MB`;
}
