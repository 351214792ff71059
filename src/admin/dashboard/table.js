// Tables that change in place: a row keeps its element, so that focus and selection stay where they are.

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * A table body. `columns`: `{ key, label, classes, text(row), fill(cell, row), sort(row), lead }`; `key(row)`
 * names a row for good.
 */
export class Table {
  constructor({ head, body, columns, key, order, onOrder }) {
    Object.assign(this, { head, body, columns, key, order, onOrder });
    this.rows = new Map();
    for (const column of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.setAttribute("role", "columnheader");
      cell.className = column.classes ?? "";
      if (column.sort) {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = column.label;
        button.addEventListener("click", () => this.by(column));
        cell.append(button);
      } else if (column.hidden) {
        const label = document.createElement("span");
        label.className = "unseen";
        label.textContent = column.label;
        cell.append(label);
      } else {
        cell.textContent = column.label;
      }
      column.head = cell;
      head.append(cell);
    }
    this.mark();
  }

  by(column) {
    const down = this.order?.key === column.key ? !this.order.down : Boolean(column.down);
    this.order = { key: column.key, down };
    this.mark();
    this.onOrder?.();
  }

  mark() {
    for (const column of this.columns) {
      if (this.order?.key === column.key) {
        column.head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      } else {
        column.head.removeAttribute("aria-sort");
      }
    }
  }

  sorted(items) {
    const column = this.columns.find(({ key }) => key === this.order?.key);
    if (!column) return items;
    const sign = this.order.down ? -1 : 1;
    const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    return [...items].sort((a, b) => sign * compare(column.sort(a), column.sort(b)) || compare(this.key(a), this.key(b)));
  }

  show(items) {
    const kept = new Set();
    let place = this.body.firstElementChild;
    for (const item of items) {
      const key = this.key(item);
      kept.add(key);
      let row = this.rows.get(key);
      if (!row) {
        row = this.make();
        this.rows.set(key, row);
      }
      row.item = item;
      this.columns.forEach((column, i) => {
        const cell = row.children[i];
        if (column.fill) column.fill(cell, item);
        else set(cell, column.text(item));
        if (column.title) cell.title = column.title(item);
      });
      if (row === place) {
        place = place.nextElementSibling;
      } else {
        const focused = row.contains(document.activeElement) ? document.activeElement : null;
        this.body.insertBefore(row, place);
        focused?.focus({ preventScroll: true });
      }
    }
    for (const [key, row] of this.rows) {
      if (!kept.has(key)) {
        row.remove();
        this.rows.delete(key);
      }
    }
  }

  make() {
    const row = document.createElement("tr");
    row.setAttribute("role", "row");
    for (const column of this.columns) {
      const cell = document.createElement(column.lead ? "th" : "td");
      if (column.lead) cell.scope = "row";
      cell.setAttribute("role", column.lead ? "rowheader" : "cell");
      cell.className = `${column.classes ?? ""}${column.lead ? " lead" : ""}`;
      cell.dataset.label = column.label;
      column.make?.(cell, row);
      row.append(cell);
    }
    return row;
  }
}

/** Rows of words and figures, made anew where they differ. */
export function plain(body, rows) {
  while (body.children.length > rows.length) body.lastElementChild.remove();
  rows.forEach((cells, n) => {
    let row = body.children[n];
    if (!row || row.children.length !== cells.length) {
      const made = document.createElement("tr");
      cells.forEach((_, i) => made.append(document.createElement(i === 0 ? "th" : "td")));
      made.firstElementChild.scope = "row";
      row ? row.replaceWith(made) : body.append(made);
      row = made;
    }
    cells.forEach((cell, i) => {
      const element = row.children[i];
      const { text, classes = "", title = "", state } = typeof cell === "object" ? cell : { text: cell };
      if (element.className !== classes) element.className = classes;
      if (element.title !== title) element.title = title;
      if (!state) return set(element, text);
      let pill = element.firstElementChild;
      if (!pill) {
        element.textContent = "";
        pill = element.appendChild(document.createElement("span"));
        pill.className = "state";
      }
      pill.dataset.state = state;
      set(pill, text);
    });
  });
}
