// Live sessions: search, order, goodbye.

import * as api from "./api.js";
import { confirm } from "./dialogs.js";
import { Table } from "./table.js";
import { octets, plural, span } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Rows that are shown at first, and that each "more" adds. */
const PAGE = 100;

/** Most sessions that "Kick these" ends one by one. */
const AT_ONCE = 200;

export function sessions({ done, failed }) {
  let all = [];
  let found = [];
  let room = PAGE;
  const table = new Table({
    head: $("sessions-head"),
    body: $("sessions-rows"),
    key: (session) => session.id,
    order: { key: "age", down: false },
    onOrder: show,
    columns: [
      { key: "user", label: "User", lead: true, classes: "user cut", sort: (s) => s.user ?? "\uffff", title: (s) => s.user ?? "", fill: user },
      { key: "client", label: "Client", classes: "client cut", sort: (s) => s.client, title: (s) => s.client, text: (s) => s.client },
      { key: "protocol", label: "Protocol", sort: (s) => s.protocol, text: (s) => s.protocol },
      { key: "host", label: "Host", classes: "host cut", sort: (s) => `${s.backend} ${s.host}`, title: where, text: where },
      { key: "state", label: "State", sort: (s) => s.state, text: (s) => s.state },
      { key: "tls", label: "TLS", classes: "wide", sort: (s) => s.tls ?? "", text: (s) => s.tls ?? "none" },
      { key: "age", label: "Age", classes: "n", sort: (s) => s.age, text: (s) => span(s.age) },
      { key: "in", label: "In", classes: "n wide", down: true, sort: (s) => s.bytes_in, text: (s) => octets(s.bytes_in) },
      { key: "out", label: "Out", classes: "n", down: true, sort: (s) => s.bytes_out, text: (s) => octets(s.bytes_out) },
      { key: "id", label: "Session", classes: "code wide", text: (s) => s.id },
      { key: "act", label: "Action", hidden: true, classes: "n act", make: action, fill: name },
    ],
  });

  function action(cell, row) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Kick";
    button.addEventListener("click", () => kick(row.item).catch(failed));
    cell.append(button);
  }

  function name(cell, session) {
    cell.firstElementChild.setAttribute("aria-label", `Kick ${who(session)}, session ${session.id}`);
  }

  async function kick(session) {
    const answer = await confirm({
      title: `End the session of ${who(session)}?`,
      text: `${session.protocol} from ${session.client}. The client hears a goodbye, and most connect again.`,
      yes: "Kick",
      danger: true,
    });
    if (answer === null) return;
    const { ended } = await api.kick(session.id);
    done(ended ? `The session of ${who(session)} is ended.` : `The session of ${who(session)} had ended already.`);
  }

  async function kickThese() {
    const these = found.slice(0, AT_ONCE);
    const answer = await confirm({
      title: `End ${plural(these.length, "session")}?`,
      text: `All that the search “${$("search").value.trim()}” finds${found.length > these.length ? `, the first ${AT_ONCE} of them` : ""}.`,
      yes: "Kick these",
      danger: true,
    });
    if (answer === null) return;
    let count = 0;
    for (const session of these) count += (await api.kick(session.id)).ended;
    done(`${plural(count, "session")} ended.`);
  }

  function show() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const fits = (session) => words.every((word) => session.text.includes(word));
    found = words.length ? all.filter(fits) : all;
    table.show(table.sorted(found).slice(0, room));
    $("sessions-sum").textContent = words.length
      ? `${found.length} of ${plural(all.length, "session")}`
      : plural(all.length, "session");
    $("sessions-none").hidden = found.length > 0;
    $("sessions-none").textContent = all.length ? "No session fits the search." : "Nobody is here.";
    $("more").hidden = found.length <= room;
    $("more").textContent = `Show more (${found.length - room})`;
    $("kick-all").hidden = !(words.length && found.length > 1);
    $("kick-all").textContent = `Kick these ${found.length}`;
  }

  $("search").addEventListener("input", () => {
    room = PAGE;
    show();
  });
  $("more").addEventListener("click", () => {
    room += PAGE;
    show();
  });
  $("kick-all").addEventListener("click", () => kickThese().catch(failed));

  return (list) => {
    const now = Date.now();
    all = list.map((session) => ({
      ...session,
      age: Math.max(0, (now - Date.parse(session.since)) / 1000),
      text: [session.user, session.client, session.protocol, session.backend, session.host, session.state, session.tls, session.id]
        .join(" ")
        .toLowerCase(),
    }));
    show();
  };
}

function who(session) {
  return session.user ?? "a client that has not logged in";
}

function where(session) {
  if (!session.host) return "–";
  return session.backend === session.host ? session.host : `${session.backend} / ${session.host}`;
}

function user(cell, session) {
  const text = session.user ?? "not logged in";
  if (cell.textContent !== text) cell.textContent = text;
  cell.classList.toggle("sub", session.user == null);
}
