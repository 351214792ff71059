// Backends and their hosts: state, share of the sessions, logins, drain.

import * as api from "./api.js";
import { confirm } from "./dialogs.js";
import { Table } from "./table.js";
import { count, plural, rate } from "./words.js";

const $ = (id) => document.getElementById(id);

/** `done(words)` is called after something was changed, `failed(error)` if it could not be. */
export function hosts({ done, failed }) {
  let most = 1;
  const table = new Table({
    head: $("hosts-head"),
    body: $("hosts-rows"),
    key: (host) => `${host.backend}\n${host.name}`,
    columns: [
      { key: "host", label: "Host", lead: true, classes: "hostname", text: (host) => host.name },
      { key: "backend", label: "Backend", text: (host) => host.backend },
      { key: "state", label: "State", fill: state },
      { key: "sessions", label: "Sessions", fill: (cell, host) => sessions(cell, host, most) },
      { key: "logins", label: "Logins/s", classes: "n", text: (host) => rate(host.logins) },
      { key: "weight", label: "Weight", classes: "n", text: (host) => String(host.weight) },
      { key: "act", label: "Action", hidden: true, classes: "n act", make: action, fill: name },
    ],
  });

  function action(cell, row) {
    const button = document.createElement("button");
    button.type = "button";
    button.addEventListener("click", () => change(row.item).catch(failed));
    cell.append(button);
  }

  async function change(host) {
    const at = `${host.backend}/${host.name}`;
    if (host.state === "drain") {
      await api.change(host.backend, host.name, { state: "up" });
      return done(`${at} takes users again.`);
    }
    const answer = await confirm({
      title: `Drain ${at}?`,
      text: "New users go to the other hosts of this backend. Users with sessions there go on being served there.",
      yes: "Drain",
      choice: true,
    });
    if (answer === null) return;
    await api.change(host.backend, host.name, answer ? { state: "drain", after: answer } : { state: "drain" });
    done(`${at} is drained.`);
  }

  return (backends, logins) => {
    const all = backends.flatMap((backend) =>
      backend.hosts.map((host) => ({ ...host, backend: backend.name, logins: logins(backend.name, host.name) })),
    );
    most = Math.max(1, ...all.map((host) => host.sessions));
    table.show(all);
    $("hosts-none").hidden = all.length > 0;
    const not = all.filter((host) => host.state !== "up").length;
    $("backends-sum").textContent =
      `${plural(backends.length, "backend")}, ${plural(all.length, "host")}${not ? `, ${not} not up` : ""}`;
  };
}

function state(cell, host) {
  const pill = cell.firstElementChild ?? cell.appendChild(document.createElement("span"));
  pill.className = "state";
  pill.dataset.state = host.state;
  if (pill.textContent !== host.state) pill.textContent = host.state;
}

function sessions(cell, host, most) {
  if (!cell.firstElementChild) {
    const bar = document.createElement("span");
    bar.className = "share";
    bar.append(document.createElement("i"));
    const figure = document.createElement("span");
    figure.className = "figure";
    cell.append(figure, bar);
  }
  const text = count(host.sessions);
  const [figure, bar] = cell.children;
  if (figure.textContent !== text) figure.textContent = text;
  bar.firstElementChild.style.width = `${(100 * host.sessions) / most}%`;
}

function name(cell, host) {
  const button = cell.firstElementChild;
  const word = host.state === "drain" ? "Undrain" : "Drain";
  if (button.textContent !== word) button.textContent = word;
  button.setAttribute("aria-label", `${word} ${host.backend}/${host.name}`);
}
