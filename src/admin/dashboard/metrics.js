// Prometheus' text format, as far as the gateway writes it; rates and quantiles between two readings.

/** Lines to a map of name to samples: `{ labels, value }`. */
export function parse(text) {
  const all = new Map();
  for (const line of text.split("\n")) {
    if (line === "" || line[0] === "#") continue;
    const brace = line.indexOf("{");
    const space = line.lastIndexOf(" ");
    const name = line.slice(0, brace < 0 ? space : brace);
    const labels = brace < 0 ? {} : labelsOf(line.slice(brace + 1, line.lastIndexOf("}")));
    if (!all.has(name)) all.set(name, []);
    all.get(name).push({ labels, value: Number(line.slice(space + 1)) });
  }
  return all;
}

function labelsOf(text) {
  const labels = {};
  for (const [, name, value] of text.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
    labels[name] = value.replace(/\\(.)/g, (_, c) => (c === "n" ? "\n" : c));
  }
  return labels;
}

/** The sum of a name's samples that fit. */
export function sum(metrics, name, fits = () => true) {
  let total = 0;
  for (const { labels, value } of metrics.get(name) ?? []) if (fits(labels)) total += value;
  return total;
}

/** The one sample of a name, or nothing. */
export function one(metrics, name) {
  return metrics.get(name)?.[0];
}

/** A histogram's buckets, upper bound to count, all series together. */
export function buckets(metrics, name) {
  const counts = new Map();
  for (const { labels, value } of metrics.get(`${name}_bucket`) ?? []) {
    const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return counts;
}

/** A quantile of what fell into the buckets between two readings, or null if nothing did. */
export function quantile(q, before, after) {
  const bounds = [...after.keys()].sort((a, b) => a - b);
  const grown = bounds.map((bound) => after.get(bound) - (before.get(bound) ?? 0));
  const total = grown.at(-1) ?? 0;
  if (!(total > 0)) return null;
  const rank = q * total;
  const i = grown.findIndex((count) => count >= rank);
  const low = i > 0 ? bounds[i - 1] : 0;
  if (bounds[i] === Infinity) return low;
  const below = i > 0 ? grown[i - 1] : 0;
  const inside = grown[i] - below;
  return low + (bounds[i] - low) * (inside > 0 ? (rank - below) / inside : 1);
}
