// Figures and times in words.

export function count(n) {
  if (n == null) return "–";
  if (n < 10_000) return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e5 ? 1 : 0)} k`;
  return `${(n / 1e6).toFixed(1)} M`;
}

/** Per second. */
export function rate(n) {
  if (n == null) return "–";
  if (n === 0) return "0";
  return n < 10 ? n.toFixed(n < 0.095 ? 2 : 1) : count(n);
}

export function seconds(s) {
  if (s == null) return "–";
  if (s < 0.001) return `${Math.round(s * 1e6)} µs`;
  if (s < 1) return `${s < 0.01 ? (s * 1e3).toFixed(1) : Math.round(s * 1e3)} ms`;
  return `${s.toFixed(s < 10 ? 2 : 0)} s`;
}

export function octets(n) {
  if (n == null) return "–";
  for (const unit of ["B", "KiB", "MiB", "GiB", "TiB"]) {
    if (n < 1000 || unit === "TiB") return `${n < 10 && unit !== "B" ? n.toFixed(1) : Math.round(n)} ${unit}`;
    n /= 1024;
  }
}

/** A time span in its two largest units. */
export function span(s) {
  s = Math.max(0, Math.round(s));
  const [d, h, m] = [Math.floor(s / 86400), Math.floor((s % 86400) / 3600), Math.floor((s % 3600) / 60)];
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${m} min`;
  if (m > 0) return `${m} min`;
  return `${s} s`;
}

/** 2026-11-22 00:31 in the reader's own time. */
export function time(unix) {
  const two = (n) => String(n).padStart(2, "0");
  const at = new Date(unix * 1000);
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
}

export function day(unix) {
  return time(unix).slice(0, 10);
}

export function plural(n, word) {
  return `${count(n)} ${word}${n === 1 ? "" : "s"}`;
}
