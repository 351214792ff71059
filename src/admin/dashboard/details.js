// What changes slowly: results since the start, certificates, settings, the process.

import { one, sum } from "./metrics.js";
import { plain } from "./table.js";
import { count, day, octets, plural, span, time } from "./words.js";

const $ = (id) => document.getElementById(id);

/** What the codes of logins mean to a person. */
const RESULTS = {
  ok: "logged in",
  AUTHENTICATIONFAILED: "wrong name or password",
  AUTHORIZATIONFAILED: "not allowed",
  PRIVACYREQUIRED: "TLS is required",
  EXPIRED: "password expired",
  CANNOT: "mechanism not offered",
  LIMIT: "past a limit",
  INUSE: "maildrop in use",
  UNAVAILABLE: "host or map away",
  CONTACTADMIN: "host set up wrong",
  SERVERBUG: "host broke the protocol",
};

const number = (value) => ({ text: count(value), classes: value ? "n" : "n zero" });

export function details(metrics) {
  const results = new Map(Object.keys(RESULTS).map((result) => [result, {}]));
  for (const { labels, value } of metrics.get("gatepost_logins_total") ?? []) {
    const row = results.get(labels.result) ?? {};
    row[labels.protocol] = value;
    results.set(labels.result, row);
  }
  plain(
    $("results-rows"),
    [...results].map(([result, row]) => [
      { text: RESULTS[result] ?? result, title: result, classes: row.imap || row.pop3 ? "" : "zero" },
      number(row.imap ?? 0),
      number(row.pop3 ?? 0),
    ]),
  );
  const refused = (metrics.get("gatepost_refused_total") ?? []).map(({ labels, value }) => [labels.reason, value]);
  refused.sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  plain($("refused-rows"), refused.map(([reason, value]) => [{ text: reason.replaceAll("_", " "), classes: value ? "" : "zero" }, number(value)]));
  certificates(metrics);
  settings(metrics);
}

function certificates(metrics) {
  const now = Date.now() / 1000;
  const all = (metrics.get("gatepost_certificate_expiry_timestamp_seconds") ?? []).map(({ labels, value }) => [labels.name, value]);
  all.sort((a, b) => a[1] - b[1]);
  plain(
    $("certificates-rows"),
    all.map(([name, end]) => {
      const days = Math.floor((end - now) / 86400);
      const state = days < 0 ? "bad" : days < 14 ? "warn" : "good";
      return [
        { text: name.split("/").at(-1) || name, title: name, classes: "cut" },
        day(end),
        { text: days < 0 ? "ended" : plural(days, "day"), classes: "n", state },
      ];
    }),
  );
  $("certificates-none").hidden = all.length > 0;
}

function settings(metrics) {
  const now = Date.now() / 1000;
  const version = one(metrics, "gatepost_build_info")?.labels.version ?? "–";
  const started = one(metrics, "process_start_time_seconds")?.value;
  const reloads = (result) => sum(metrics, "gatepost_reloads_total", (labels) => labels.result === result);
  const last = (result) => sum(metrics, "gatepost_last_reload_timestamp_seconds", (labels) => labels.result === result);
  const [taken, failed] = [last("ok"), last("failed")];
  const since = taken || started;
  const revision = 1 + reloads("ok");
  $("version").textContent = version;
  $("uptime").textContent = started ? span(now - started) : "–";
  $("settings-brief").textContent = `revision ${revision}${failed > taken ? ", last reload refused" : ""}`;
  const reloadWords =
    failed > taken
      ? `refused ${time(failed)}; the settings before it stay in use`
      : taken
        ? `taken ${time(taken)}`
        : "none since the start";
  const files = one(metrics, "process_open_fds")?.value;
  const most = one(metrics, "process_max_fds")?.value;
  const pairs = [
    ["Settings", `revision ${revision}, in use since ${since ? time(since) : "–"}`],
    ["Last reload", reloadWords],
    ["Reloads", `${count(reloads("ok"))} taken, ${count(reloads("failed"))} refused`],
    ["Started", started ? time(started) : "–"],
    ["Memory", octets(one(metrics, "process_resident_memory_bytes")?.value)],
    ["Open files", files == null ? "–" : `${count(files)}${most ? ` of ${count(most)}` : ""}`],
    ["Log lines lost", count(sum(metrics, "gatepost_log_dropped_total"))],
  ];
  const list = $("settings-list");
  while (list.children.length < pairs.length * 2) {
    list.append(document.createElement("dt"), document.createElement("dd"));
  }
  pairs.forEach(([term, text], i) => {
    const [dt, dd] = [list.children[2 * i], list.children[2 * i + 1]];
    if (dt.textContent !== term) dt.textContent = term;
    if (dd.textContent !== text) dd.textContent = text;
  });
}
