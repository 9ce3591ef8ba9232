// Speaks to the desk: what a person does, and the changes as they happen.

export async function send(verb, said) {
  const response = await fetch(`/desk/${verb}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(said),
  });
  return response.json();
}

export async function upload(user, file) {
  const query = new URLSearchParams({ user, name: file.name });
  const response = await fetch(`/desk/upload?${query}`, {
    method: "POST",
    headers: { "Content-Type": "application/octet-stream" },
    body: file,
  });
  return (await response.json()).file;
}

export async function state(user) {
  return (await fetch(`/desk/state?${new URLSearchParams({ user })}`)).json();
}

// Calls `apply(events)` for ever, and `lost()` when the connection, or the tail of the changes, was lost and is back.
export async function follow(cursor, apply, lost, live) {
  let after = cursor;
  for (;;) {
    try {
      const response = await fetch(`/desk/events?${new URLSearchParams({ after, wait: 25 })}`);
      const found = await response.json();
      live(true);
      if (found.lost || found.cursor < after) after = await lost();
      else {
        after = found.events.length ? found.events.at(-1).n : after;
        if (found.events.length) apply(found.events);
      }
    } catch {
      live(false);
      await new Promise((again) => setTimeout(again, 1000));
      after = await lost().catch(() => after);
    }
  }
}
