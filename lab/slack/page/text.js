// Reads Slack's mrkdwn and rich text into nodes: bold, italic, code, links, mentions, quotes, emoji.

import { el } from "./dom.js";

const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", x: "❌", warning: "⚠️", no_entry: "⛔", no_entry_sign: "🚫",
  hourglass: "⌛", hourglass_flowing_sand: "⏳", rocket: "🚀", package: "📦", lock: "🔒", unlock: "🔓", bell: "🔔",
  eyes: "👀", tada: "🎉", rotating_light: "🚨", arrows_counterclockwise: "🔄", rewind: "⏪", mag: "🔍", memo: "📝",
  clipboard: "📋", gear: "⚙️", wrench: "🔧", hammer_and_wrench: "🛠️", snowflake: "❄️", camera: "📷", shield: "🛡️",
  large_green_circle: "🟢", red_circle: "🔴", large_yellow_circle: "🟡", white_circle: "⚪", large_blue_circle: "🔵",
  black_circle: "⚫", double_vertical_bar: "⏸️", arrow_right: "➡️", point_right: "👉", wave: "👋", thumbsup: "👍",
  "+1": "👍", "-1": "👎", hand: "✋", raised_hand: "✋", question: "❓", bulb: "💡", link: "🔗", clock1: "🕐",
  stopwatch: "⏱️", floppy_disk: "💾", file_folder: "📁", ship: "🚢", anchor: "⚓", test_tube: "🧪", bar_chart: "📊",
};
let names = { users: new Map(), channels: new Map(), groups: new Map() };

export function know(directory) {
  names = directory;
}

export function emoji(name) {
  return EMOJI[name] ?? `:${name}:`;
}

export function unescape(text) {
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}

function link(address, label) {
  if (!/^(https?:|mailto:)/i.test(address)) return label ?? address;
  return el("a", { href: address, target: "_blank", rel: "noopener noreferrer" }, label ?? address);
}

function mention(kind, id, label) {
  const sign = kind === "channels" ? "#" : "@";
  return el("span", { class: "mention", "data-id": id }, sign + (names[kind].get(id) ?? label ?? id).replace(/^@/, ""));
}

function bracketed(inside) {
  const [head, label] = [inside.split("|")[0], inside.includes("|") ? inside.slice(inside.indexOf("|") + 1) : undefined];
  const said = label === undefined ? undefined : unescape(label);
  if (head.startsWith("@")) return mention("users", head.slice(1), said);
  if (head.startsWith("#")) return mention("channels", head.slice(1), said);
  if (head.startsWith("!subteam^")) return mention("groups", head.slice(9), said);
  if (head.startsWith("!date^")) return el("time", {}, dated(head, said));
  if (head.startsWith("!")) return el("span", { class: "mention" }, "@" + (said ?? head.slice(1)));
  return link(unescape(head), said);
}

function dated(head, fallback) {
  const [, seconds, format] = head.split("^");
  const when = new Date(Number(seconds) * 1000);
  if (Number.isNaN(when.getTime())) return fallback ?? head;
  const date = when.toLocaleDateString([], { day: "numeric", month: "long", year: "numeric" });
  const time = when.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  return unescape(format).replace(/\{date[a-z_]*\}/g, date).replace(/\{time[a-z_]*\}/g, time);
}

const SPAN = new RegExp(
  [
    "`([^`\\n]+)`", // 1 code
    "<([^<>\\n]+)>", // 2 link or mention
    "(?<![\\w*])\\*(?=\\S)([^*\\n]*[^*\\s])\\*(?![\\w*])", // 3 bold
    "(?<![\\w_])_(?=\\S)([^_\\n]*[^_\\s])_(?![\\w_])", // 4 italic
    "(?<![\\w~])~(?=\\S)([^~\\n]*[^~\\s])~(?![\\w~])", // 5 strike
    ":([a-z0-9_+-]+):", // 6 emoji
  ].join("|"),
  "g",
);

export function spans(text) {
  const nodes = [];
  let last = 0;
  for (const match of text.matchAll(SPAN)) {
    if (match.index > last) nodes.push(unescape(text.slice(last, match.index)));
    const [, code, inside, bold, italic, strike, face] = match;
    if (code !== undefined) nodes.push(el("code", {}, unescape(code)));
    else if (inside !== undefined) nodes.push(bracketed(inside));
    else if (bold !== undefined) nodes.push(el("strong", {}, spans(bold)));
    else if (italic !== undefined) nodes.push(el("em", {}, spans(italic)));
    else if (strike !== undefined) nodes.push(el("s", {}, spans(strike)));
    else nodes.push(emoji(face));
    last = match.index + match[0].length;
  }
  if (last < text.length) nodes.push(unescape(text.slice(last)));
  return nodes;
}

export function mrkdwn(text) {
  const nodes = [];
  text.split("```").forEach((part, index, parts) => {
    if (index % 2 && index < parts.length - 1) {
      nodes.push(el("pre", {}, unescape(part.replace(/^\n|\n$/g, ""))));
      return;
    }
    const raw = index % 2 ? "```" + part : part;
    nodes.push(...lines(index ? raw.replace(/^\n/, "") : raw));
  });
  return nodes;
}

function lines(text) {
  const nodes = [];
  let quote = null;
  text.split("\n").forEach((line, index, all) => {
    const quoted = /^(&gt;|>) ?(.*)$/.exec(line);
    if (quoted) {
      if (quote) quote.append(el("br"));
      else nodes.push((quote = el("blockquote")));
      quote.append(...spans(quoted[2]));
      return;
    }
    quote = null;
    nodes.push(...spans(line));
    if (index < all.length - 1 && !/^(&gt;|>)/.test(all[index + 1])) nodes.push(el("br"));
  });
  return nodes;
}

export function said(object) {
  return object.type === "mrkdwn" ? mrkdwn(object.text) : [plain(object.text)];
}

export function plain(text) {
  return text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);
}

// --- rich text -------------------------------------------------------------------------------------------------

function styled(node, style = {}) {
  let inner = node;
  if (style.code) inner = el("code", {}, inner);
  if (style.strike) inner = el("s", {}, inner);
  if (style.underline) inner = el("u", {}, inner);
  if (style.italic) inner = el("em", {}, inner);
  return style.bold ? el("strong", {}, inner) : inner;
}

function inline(part) {
  switch (part.type) {
    case "link": return styled(link(part.url, part.text), part.style);
    case "emoji": return emoji(part.name);
    case "user": return mention("users", part.user_id);
    case "channel": return mention("channels", part.channel_id);
    case "usergroup": return mention("groups", part.usergroup_id);
    case "broadcast": return el("span", { class: "mention" }, "@" + part.range);
    case "date": return dated(`!date^${part.timestamp}^${part.format}`, part.fallback);
    default: return styled(part.text, part.style);
  }
}

export function rich(block) {
  return block.elements.map((element) => {
    const inside = element.elements;
    switch (element.type) {
      case "rich_text_list":
        return el(element.style === "ordered" ? "ol" : "ul", { class: `rich indent-${element.indent ?? 0}` },
          inside.map((item) => el("li", {}, item.elements.map(inline))));
      case "rich_text_preformatted": return el("pre", {}, inside.map(inline));
      case "rich_text_quote": return el("blockquote", {}, inside.map(inline));
      default: return el("div", { class: "rich" }, inside.map(inline));
    }
  });
}
