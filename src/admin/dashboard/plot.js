// A small live plot: areas on top of one another, or curves, over the last minutes.

const HEIGHT = 96;
const LEFT = 34;
const BOTTOM = 14;

function svg(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  parent?.append(element);
  return element;
}

/** The least of 1, 2, 5 times a power of ten that is not below. */
function ceiling(value, least) {
  const floor = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(floor));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= floor * 0.999);
}

export class Plot {
  /**
   * `series`: names; `kind`: "areas" or "curves"; `words`: a value in words; `big`: what the large figure
   * is, from a sample; `least`: smallest top of the scale; `window`: seconds shown.
   */
  constructor(figure, { title, series, kind, words, big, unit = "", least, window: shown = 300 }) {
    Object.assign(this, { figure, title, series, kind, words, big, least, shown });
    this.samples = [];
    this.at = null;
    const heading = document.createElement("figcaption");
    heading.className = "plot-title";
    const name = document.createElement("h3");
    name.textContent = title;
    name.className = "plot-name";
    this.figureNow = document.createElement("span");
    this.figureNow.className = "big";
    this.unit = unit;
    heading.append(name, this.figureNow);
    this.legend = document.createElement("ul");
    this.legend.className = "legend";
    this.values = series.map((word, i) => {
      const item = document.createElement("li");
      item.className = `k${i + 1}`;
      const value = document.createElement("b");
      item.append(`${word} `, value);
      this.legend.append(item);
      return value;
    });
    this.image = svg("svg", { role: "img", "aria-label": `${title}: no figures yet` });
    figure.append(heading, this.legend, this.image);
    this.image.addEventListener("pointermove", (event) => this.point(event));
    this.image.addEventListener("pointerleave", () => {
      this.at = null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(figure);
  }

  /** A sample: seconds on a steady clock, and a value or null for each series. */
  add(at, values) {
    this.samples.push({ at, values });
    const oldest = at - this.shown - 5;
    while (this.samples[0]?.at < oldest) this.samples.shift();
    this.draw();
  }

  point(event) {
    const box = this.image.getBoundingClientRect();
    const last = this.samples.at(-1)?.at ?? 0;
    const share = (event.clientX - box.left - LEFT) / Math.max(1, box.width - LEFT);
    this.at = last - this.window * (1 - Math.min(1, Math.max(0, share)));
    this.draw();
  }

  /** Seconds shown: what there is, a minute at least, and not more than was asked for. */
  get window() {
    const there = this.samples.length ? this.samples.at(-1).at - this.samples[0].at : 0;
    return Math.min(this.shown, Math.max(60, Math.ceil(there / 60) * 60));
  }

  draw() {
    const width = Math.max(120, this.image.clientWidth || this.figure.clientWidth);
    const last = this.samples.at(-1);
    this.image.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.image.replaceChildren();
    const tops = this.samples.map(({ values }) =>
      this.kind === "areas" ? values.reduce((a, b) => a + (b ?? 0), 0) : Math.max(0, ...values.map((v) => v ?? 0)),
    );
    const top = ceiling(Math.max(0, ...tops), this.least);
    const shown = this.window;
    const x = (at) => LEFT + (width - LEFT) * (1 - ((last?.at ?? at) - at) / shown);
    const y = (value) => 6 + (HEIGHT - BOTTOM - 6) * (1 - value / top);
    for (const share of [1, 0.5, 0]) {
      const level = y(top * share);
      svg("line", { class: share ? "grid" : "grid base", x1: LEFT, x2: width, y1: level, y2: level }, this.image);
      if (share !== 0.5) {
        svg("text", { x: LEFT - 5, y: level + 3.5, "text-anchor": "end" }, this.image).textContent = this.words(top * share);
      }
    }
    svg("text", { x: LEFT, y: HEIGHT - 2 }, this.image).textContent = `−${shown / 60} min`;
    svg("text", { x: width, y: HEIGHT - 2, "text-anchor": "end" }, this.image).textContent = "now";
    if (this.samples.length > 1) this[this.kind]((at) => Math.max(LEFT, x(at)), y);
    this.tell(x);
  }

  areas(x, y) {
    let below = this.samples.map(() => 0);
    this.series.forEach((_, i) => {
      const above = this.samples.map(({ values }, n) => below[n] + (values[i] ?? 0));
      const there = this.samples.map(({ at }, n) => `${x(at).toFixed(1)},${y(above[n]).toFixed(1)}`);
      const back = this.samples.map(({ at }, n) => `${x(at).toFixed(1)},${y(below[n]).toFixed(1)}`).reverse();
      svg("path", { class: `area k${i + 1}`, d: `M${there.join("L")}L${back.join("L")}Z` }, this.image);
      below = above;
    });
  }

  curves(x, y) {
    this.series.forEach((_, i) => {
      // A gap where there is nothing to tell.
      const runs = [[]];
      for (const { at, values } of this.samples) {
        if (values[i] == null) runs.push([]);
        else runs.at(-1).push([x(at), y(values[i])]);
      }
      for (const run of runs.filter((run) => run.length > 0)) {
        const line = run.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join("L");
        const [first, end] = [run[0][0], run.at(-1)[0]];
        svg("path", { class: `under k${i + 1}`, d: `M${first},${y(0)}L${line}L${end},${y(0)}Z` }, this.image);
        svg("path", { class: `curve k${i + 1}`, d: `M${line}${run.length === 1 ? "h1" : ""}` }, this.image);
      }
    });
  }

  /** The figures of now, or of where the pointer is. */
  tell(x) {
    let shown = this.samples.at(-1);
    if (this.at != null && this.samples.length > 0) {
      const far = (sample) => Math.abs(sample.at - this.at);
      shown = this.samples.reduce((best, sample) => (far(sample) < far(best) ? sample : best));
      svg("line", { class: "cursor", x1: x(shown.at), x2: x(shown.at), y1: 4, y2: HEIGHT - BOTTOM }, this.image);
    }
    const values = shown?.values ?? this.series.map(() => null);
    values.forEach((value, i) => {
      this.values[i].textContent = this.words(value);
    });
    const big = shown ? this.big(values) : null;
    this.figureNow.textContent = this.words(big);
    if (this.unit) {
      const unit = document.createElement("span");
      unit.className = "unit";
      unit.textContent = this.unit;
      this.figureNow.append(unit);
    }
    const told = this.series.map((word, i) => `${word} ${this.words(values[i])}`).join(", ");
    this.image.setAttribute("aria-label", `${this.title}, last ${this.window / 60} min. Now: ${told}`);
  }
}
