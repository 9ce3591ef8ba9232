// The page: who you are, where you are, what is there, and the changes as they come.

import { draw, files, knowPeople } from "./blocks.js";
import { follow, send, state } from "./client.js";
import { composer } from "./composer.js";
import { clock, day, el, icon, PATHS, reconcile } from "./dom.js";
import { showModal } from "./modal.js";
import { emoji, know, mrkdwn } from "./text.js";

const byId = (id) => document.getElementById(id);
const asked = new URLSearchParams(location.hash.slice(1));
const here = { me: asked.get("as"), place: asked.get("at"), thread: asked.get("thread"), unread: new Set() };
let world = { users: [], channels: new Map(), ephemerals: [], commands: [] };

// --- what is known -------------------------------------------------------------------------------------------------

async function load() {
  const first = here.me ?? "U01DEV";
  const found = await state(first);
  here.me = found.users.some((user) => user.id === first) ? first : found.users[0].id;
  const users = new Map(found.users.map((user) => [user.id, user]));
  world = {
    ...found,
    users,
    channels: new Map(found.channels.map((one) => [one.id, { ...one, messages: new Map(one.messages.map((message) => [message.ts, message])) }])),
  };
  know({
    users: new Map(found.users.map((user) => [user.id, user.name])),
    channels: new Map(found.channels.map((one) => [one.id, one.name])),
    groups: new Map(found.groups.map((group) => [group.id, group.handle])),
  });
  knowPeople(found.users);
  if (here.place !== "home" && !world.channels.has(here.place)) here.place = found.channels[0]?.id;
  render();
  showModal(here.me, world.modal);
  return found.cursor;
}

function apply(events) {
  for (const event of events) {
    const channel = world.channels.get(event.channel);
    if (event.type === "message" && channel) {
      if (!channel.messages.has(event.message.ts) && event.channel !== here.place) here.unread.add(event.channel);
      channel.messages.set(event.message.ts, { ...event.message, channel: event.channel });
    } else if (event.type === "gone" && channel) {
      channel.messages.delete(event.ts);
      world.ephemerals = world.ephemerals.filter((one) => one.ts !== event.ts);
    } else if (event.type === "ephemeral" && event.user === here.me) {
      world.ephemerals = world.ephemerals.filter((one) => one.ts !== event.message.ts);
      world.ephemerals.push({ ...event.message, channel: event.channel });
    } else if (event.type === "modal" && event.user === here.me) {
      world.modal = event.view;
      showModal(here.me, event.view);
    } else if (event.type === "home" && event.user === here.me) {
      world.home = event.view;
    }
  }
  render();
}

async function go(changes) {
  const person = changes.me && changes.me !== here.me;
  Object.assign(here, changes);
  if (here.place) here.unread.delete(here.place);
  if (person) await load();
  if (changes.place === "home") send("home", { user: here.me });
  render();
}

// --- the rail ------------------------------------------------------------------------------------------------------

const HUES = { U01DEV: "a", U02ADMIN: "b", U03TESTER: "c", U04GUEST: "d", U05OTHER: "e", U06ADMIN2: "f", U00BOT: "bot" };
function avatar(user) {
  if (user?.is_bot) return el("img", { class: "avatar", src: "/page/mark.svg", alt: "" });
  const initials = (user?.real_name ?? "Slackbot").split(" ").map((word) => word[0]).slice(0, 2).join("");
  return el("span", { class: `avatar hue-${HUES[user?.id] ?? "d"}`, "aria-hidden": "true" }, initials);
}

function role(user) {
  if (user.is_restricted || user.is_ultra_restricted) return "guest";
  if (user.team_id !== world.users.get(world.bot)?.team_id) return "another company";
  return user.real_name.split(" ").at(-1).toLowerCase();
}

function rail() {
  const people = [...world.users.values()].filter((user) => !user.is_bot && !user.deleted);
  const person = (user) => el("button", {
    type: "button", role: "radio", "aria-checked": String(user.id === here.me), class: "person",
    "data-testid": `person-${user.id}`, onclick: () => go({ me: user.id, thread: null }),
  }, avatar(user), el("span", {}, el("strong", {}, user.real_name.split(" ")[0]), el("small", {}, role(user))));
  const others = people.slice(3);
  const opened = byId("people").querySelector("details")?.open || others.some((user) => user.id === here.me);
  byId("people").replaceChildren(...people.slice(0, 3).map(person),
    ...(others.length ? [el("details", { open: opened }, el("summary", {}, `${others.length} more`), others.map(person))] : []));
  byId("channels").replaceChildren(...[...world.channels.values()].map((one) => el("li", {}, el("button", {
    type: "button", class: here.unread.has(one.id) ? "place unread" : "place", "aria-current": one.id === here.place ? "page" : null,
    "data-testid": `channel-${one.id}`, onclick: () => go({ place: one.id, thread: null }),
  }, one.is_private ? icon(PATHS.lock) : el("span", { class: "hash" }, "#"), one.name, one.is_ext_shared && el("small", {}, "shared")))));
  byId("home-entry").replaceChildren(el("li", {}, el("button", {
    type: "button", class: "place", "aria-current": here.place === "home" ? "page" : null, "data-testid": "home",
    onclick: () => go({ place: "home", thread: null }),
  }, avatar(world.users.get(world.bot)), "Quarterdeck")));
}

// --- messages ------------------------------------------------------------------------------------------------------

function acts(message) {
  return async (element, block, value) => {
    const done = await send("press", {
      user: here.me, channel: message.channel, message: message.ts, action_id: element.action_id, block_id: block.block_id, value,
    });
    if (!done.ok) byId("live").textContent = `Not taken: ${done.error}`;
  };
}

function item(message, inThread) {
  if (message.daybreak) return el("li", { class: "daybreak" }, el("span", {}, message.daybreak));
  const user = world.users.get(message.user);
  const whisper = message.is_ephemeral;
  const look = `message${whisper ? " whisper" : ""}${message.follows ? " follows" : ""}`;
  const tags = [
    user?.is_bot && el("span", { class: "tag" }, "app"),
    el("time", { datetime: new Date(message.ts * 1000).toISOString() }, clock(message.ts)),
    message.edited && el("span", { class: "edited" }, "edited"),
    message.subtype === "thread_broadcast" && !inThread && el("span", { class: "edited" }, "from a thread"),
  ];
  return el("li", { class: look, "data-ts": message.ts, "data-testid": whisper ? "ephemeral" : "message" },
    message.follows ? el("span") : avatar(user),
    el("article", { "aria-label": `${user?.real_name ?? "Slackbot"} at ${clock(message.ts)}` },
      whisper && el("p", { class: "only" }, icon(PATHS.eye), "Only visible to you"),
      el("header", {}, el("strong", {}, user?.real_name ?? "Slackbot"), tags),
      message.blocks?.length ? draw(message.blocks, acts(message)) : message.text && el("div", { class: "text" }, mrkdwn(message.text)),
      message.files && files(message.files),
      message.reactions && el("p", { class: "reactions" }, message.reactions.map((one) => el("span", {}, `${emoji(one.name)} ${one.count}`))),
      !inThread && footer(message)));
}

function footer(message) {
  if (message.is_ephemeral) return null;
  const root = message.subtype === "thread_broadcast" ? message.thread_ts : message.ts;
  const count = message.reply_count ?? 0;
  const label = count ? `${count} ${count === 1 ? "reply" : "replies"}` : "Reply";
  return el("button", {
    type: "button", class: count ? "replies" : "replies none", "data-testid": "open-thread", onclick: () => go({ thread: root }),
  }, label, count > 0 && el("span", {}, `last at ${clock(message.latest_reply)}`));
}

// A line before each new day.
function timeline(messages) {
  let last = "";
  return messages.flatMap((message) => {
    if (day(message.ts) === last) return [message];
    last = day(message.ts);
    return [{ daybreak: last, ts: `day-${last}` }, message];
  });
}

// What one author says in a row is marked as following.
function rows(messages) {
  return messages.map((message, index) => (follows(messages[index - 1], message) ? { ...message, follows: true } : message));
}

function follows(before, message) {
  const same = before?.user === message.user && before.is_ephemeral === message.is_ephemeral;
  return same && message.ts - before.ts < 300 && !message.blocks && message.subtype !== "thread_broadcast";
}

// Fills a list, and stays at its end when the reader is there, or has just turned to `view`.
function fill(list, view, messages) {
  reconcile(list, messages, (one) => one.ts, (one) => item(one, list.id !== "messages"));
  if (list.atEnd || list.dataset.view !== view) list.scrollTop = list.scrollHeight;
  list.dataset.view = view;
}

function keepAtEnd(list) {
  list.atEnd = true;
  list.addEventListener("scroll", () => (list.atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60));
  new ResizeObserver(() => list.atEnd && (list.scrollTop = list.scrollHeight)).observe(list);
}

const byTs = (one, other) => Number(one.ts) - Number(other.ts);
const isReply = (message) => message.thread_ts && message.thread_ts !== message.ts;

function channelPane() {
  const home = here.place === "home";
  const channel = world.channels.get(here.place);
  byId("title").replaceChildren(home ? "Quarterdeck" : `# ${channel?.name ?? ""}`);
  byId("subtitle").textContent = home ? "The app's home" : `${channel?.members.length ?? 0} members${channel?.is_ext_shared ? ", shared with another company" : ""}`;
  byId("composer").hidden = home;
  if (home) {
    const act = (element, block, value) => send("press", { user: here.me, home: true, action_id: element.action_id, block_id: block.block_id, value });
    const blocks = world.home ? draw(world.home.blocks, act) : ["Nothing is published here yet."];
    byId("messages").replaceChildren(el("li", { class: "homepage", "data-testid": "homepage" }, blocks));
    return;
  }
  const shown = [...(channel?.messages.values() ?? [])].filter((one) => !isReply(one) || one.subtype === "thread_broadcast");
  const mine = world.ephemerals.filter((one) => one.channel === here.place && !one.thread_ts);
  const all = [...shown, ...mine].sort(byTs);
  const empty = [{ daybreak: "Nothing here yet. Type / to see what the app can do.", ts: "empty" }];
  fill(byId("messages"), `${here.me} ${here.place}`, all.length ? timeline(rows(all)) : empty);
}

function threadPane() {
  const pane = byId("thread");
  const channel = world.channels.get(here.place);
  const root = channel?.messages.get(here.thread);
  pane.hidden = !root;
  document.body.classList.toggle("with-thread", Boolean(root));
  if (!root) return;
  if (pane.dataset.root !== here.thread) {
    const form = el("form", { class: "composer", autocomplete: "off" });
    pane.replaceChildren(
      el("header", { class: "top" }, el("div", {}, el("h2", {}, "Thread"), el("p", {}, `# ${channel.name}`)),
        el("button", { type: "button", class: "quiet", "aria-label": "Close thread", "data-testid": "close-thread", onclick: () => go({ thread: null }) }, icon(PATHS.close))),
      el("ol", { class: "messages", "data-testid": "thread-messages", "aria-label": "Replies" }), form);
    composer(form, { label: "Reply", testid: "reply", commands: () => [], submit: reply });
    keepAtEnd(pane.querySelector("ol"));
    pane.dataset.root = here.thread;
  }
  const below = [...channel.messages.values()].filter((one) => one.thread_ts === root.ts && one.ts !== root.ts);
  const mine = world.ephemerals.filter((one) => one.channel === here.place && one.thread_ts === root.ts);
  fill(pane.querySelector("ol"), `${here.me} ${here.thread}`, [root, ...rows([...below, ...mine].sort(byTs))]);
}

// --- typing --------------------------------------------------------------------------------------------------------

async function submit(text) {
  if (!text.startsWith("/")) return outcome(await send("say", { user: here.me, channel: here.place, text }));
  return outcome(await send("command", { user: here.me, channel: here.place, text }));
}

async function reply(text) {
  if (text.startsWith("/")) return "Commands cannot be typed in threads.";
  return outcome(await send("say", { user: here.me, channel: here.place, text, thread_ts: here.thread }));
}

function outcome(done) {
  if (!done.ok) return `Not taken: ${done.error}`;
  return done.ack_ms ? `Acknowledged in ${Math.round(done.ack_ms)} ms` : "";
}

let due = false;
function render() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    rail();
    channelPane();
    threadPane();
    const kept = { as: here.me, at: here.place, ...(here.thread ? { thread: here.thread } : {}) };
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  });
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && here.thread && !document.querySelector("dialog[open]")) go({ thread: null });
});

const box = composer(byId("composer"), { label: "Type a message, or / for a command", testid: "composer", commands: () => world.commands, submit });
keepAtEnd(byId("messages"));
const live = (on) => {
  byId("live").textContent = on ? "Live" : "Not connected: trying again";
  byId("live").classList.toggle("off", !on);
};
const cursor = await load();
live(true);
follow(cursor, apply, load, live);
box.focus();
