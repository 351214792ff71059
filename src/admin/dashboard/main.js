// The dashboard: reads the admin API every two seconds while it is looked at, and shows what it says.

import * as api from "./api.js";
import { details } from "./details.js";
import { askForToken } from "./dialogs.js";
import { hosts } from "./hosts.js";
import { buckets, parse, quantile, sum } from "./metrics.js";
import { Plot } from "./plot.js";
import { sessions } from "./sessions.js";
import { count, octets, rate, seconds } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Between two readings, in milliseconds. */
const EVERY = 2000;

/** With more sessions than this the list is read less often: it is what weighs. */
const MANY = 2000;

/** Readings that a quantile looks back on. */
const BACK = 15;

/** The sides a failed login can be of. */
const USERS = new Set(["AUTHENTICATIONFAILED", "AUTHORIZATIONFAILED", "PRIVACYREQUIRED", "EXPIRED", "CANNOT"]);
const LIMITS = new Set(["LIMIT", "INUSE"]);
const side = ({ result }) => (result === "ok" ? 0 : USERS.has(result) ? 1 : LIMITS.has(result) ? 2 : 3);

const total = (values) => values.reduce((a, b) => a + (b ?? 0), 0);

const plots = {
  logins: new Plot($("plot-logins"), {
    title: "Logins", unit: "/s", kind: "areas", words: rate, big: total, least: 1,
    series: ["ok", "wrong password", "limit", "fault"],
  }),
  latency: new Plot($("plot-latency"), {
    title: "Login time", unit: "p95", kind: "curves", words: seconds, big: (values) => values[1], least: 0.01,
    series: ["p50", "p95"],
  }),
  sessions: new Plot($("plot-sessions"), {
    title: "Sessions", kind: "areas", words: count, big: total, least: 10, series: ["imap", "pop3"],
  }),
  traffic: new Plot($("plot-traffic"), {
    title: "Traffic", unit: "/s", kind: "curves", words: octets, big: total, least: 1000,
    series: ["from clients", "to clients"],
  }),
};

const outcome = {
  done: (words) => {
    $("said").textContent = words;
    read();
  },
  failed: (error) => {
    if (error instanceof api.Unauthorized) return again(error);
    $("said").textContent = `It was not done: ${error.message}.`;
  },
};
const showHosts = hosts(outcome);
const showSessions = sessions(outcome);

/** Readings of the metrics, newest last: `{ at, metrics }`. */
const readings = [];

let paused = false;
let reading = false;
let timer = null;
let listed = -Infinity;
let known = 0;

/** The growth of a counter per second between the last two readings; null if there are none. */
function grown(name, fits) {
  const [before, now] = readings.slice(-2);
  if (!now) return null;
  const growth = sum(now.metrics, name, fits) - sum(before.metrics, name, fits);
  return Math.max(0, growth) / Math.max(0.001, (now.at - before.at) / 1000);
}

function plot(metrics, at) {
  const s = at / 1000;
  const protocol = (name) => (labels) => labels.protocol === name;
  plots.sessions.add(s, ["imap", "pop3"].map((name) => sum(metrics, "gatepost_sessions", protocol(name))));
  if (readings.length < 2) return;
  plots.logins.add(s, [0, 1, 2, 3].map((n) => grown("gatepost_logins_total", (labels) => side(labels) === n)));
  const direction = (name) => (labels) => labels.direction === name;
  plots.traffic.add(s, ["in", "out"].map((name) => grown("gatepost_bytes_total", direction(name))));
  const before = buckets(readings.at(-1 - Math.min(BACK, readings.length - 1)).metrics, "gatepost_login_seconds");
  const after = buckets(metrics, "gatepost_login_seconds");
  plots.latency.add(s, [0.5, 0.95].map((q) => quantile(q, before, after)));
}

async function look() {
  const [text, ready, backends] = await Promise.all([api.metrics(), api.readiness(), api.backends()]);
  const at = performance.now();
  const metrics = parse(text);
  readings.push({ at, metrics });
  if (readings.length > BACK + 2) readings.shift();
  $("readiness").textContent = ready;
  $("readiness").dataset.state = ready;
  plot(metrics, at);
  showHosts(backends, (backend, host) =>
    grown("gatepost_host_logins_total", (labels) => labels.backend === backend && labels.host === host),
  );
  details(metrics);
  if (at - listed >= (known > MANY ? 15_000 : 0)) {
    const list = await api.sessions();
    [known, listed] = [list.length, at];
    showSessions(list);
  }
}

async function read() {
  clearTimeout(timer);
  if (reading) return;
  reading = true;
  try {
    await look();
    $("trouble").hidden = true;
  } catch (error) {
    if (error instanceof api.Unauthorized) await again(error);
    else trouble(error);
  } finally {
    reading = false;
    clearTimeout(timer);
    if (!paused && !document.hidden) timer = setTimeout(read, EVERY);
    $("forget").hidden = !api.token.get();
  }
}

async function again() {
  const wrong = Boolean(api.token.get());
  api.token.forget();
  await askForToken(wrong);
  setTimeout(read);
}

function trouble(error) {
  $("readiness").textContent = "no answer";
  $("readiness").dataset.state = "gone";
  const words = `The gateway does not answer (${error.message}). What is shown is what it said last; it is asked again.`;
  // An alert is read out when it changes: once is enough.
  if ($("trouble").textContent !== words) $("trouble").textContent = words;
  $("trouble").hidden = false;
}

$("where").textContent = location.host;
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Paused" : "Pause";
  read();
});
$("forget").addEventListener("click", () => {
  api.token.forget();
  location.reload();
});
$("reload").addEventListener("click", async () => {
  $("reload").disabled = true;
  try {
    await api.reload();
    outcome.done("The settings are read anew.");
  } catch (error) {
    const problems = error.body?.problems ?? error.body;
    const first = Array.isArray(problems) ? problems.find((p) => p.severity === "error") ?? problems[0] : null;
    if (!first) outcome.failed(error);
    else $("said").textContent = `The new settings are refused, the old ones stay: ${first.file}:${first.line}: ${first.message}.`;
    read();
  } finally {
    $("reload").disabled = false;
  }
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) read();
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, dialog");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
  }
});
read();
