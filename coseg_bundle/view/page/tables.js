"use strict";
/* Tables that hold a million rows, of which only those that are seen are elements; and a histogram to filter with. */

const ROW_PX = 24;
const TALLEST_PX = 8e6; // browsers do not scroll much farther

class Table {
  /* `columns`: name, label, text (whether it is text), width, and `cell` from a row to its text. */
  constructor(element, columns, chosen) {
    Object.assign(this, { element, columns, chosen });
    this.order = new Uint32Array();
    this.sortedBy = null;
    this.descending = false;
    this.current = -1;
    element.tabIndex = 0;
    this.head = make("div", { className: "head" });
    this.rows = make("div", { className: "rows" });
    this.space = make("div", { className: "space" });
    this.none = make("div", { className: "none", textContent: "There is nothing to show.", hidden: true });
    element.replaceChildren(this.head, this.rows, this.none, this.space);
    for (const column of columns) {
      const button = make("button", { textContent: column.label, title: `${column.label}: sort` });
      button.className = column.text ? "text" : "";
      button.style.width = `${column.width}px`;
      button.onclick = () => {
        this.descending = this.sortedBy === column.name ? !this.descending : !column.text;
        this.sortedBy = column.name;
        this.onsort();
      };
      column.button = button;
      this.head.append(button);
    }
    element.onscroll = () => this.draw();
    element.onkeydown = (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 }[event.key];
      if (!step || !this.order.length) return;
      event.preventDefault();
      const place = clamp(this.order.indexOf(this.current) + step, 0, this.order.length - 1);
      this.chosen(this.order[place]);
    };
    new ResizeObserver(() => this.draw()).observe(element);
  }

  show(order) {
    this.order = order;
    this.none.hidden = order.length > 0;
    this.space.style.height = `${Math.min(order.length * ROW_PX, TALLEST_PX)}px`;
    for (const column of this.columns) {
      const arrow = column.name === this.sortedBy ? (this.descending ? " ↓" : " ↑") : "";
      column.button.textContent = column.label + arrow;
    }
    this.draw();
  }

  /* How many rows fit, and which one is first where the table is scrolled to. */
  get window() {
    const seen = Math.max(1, Math.floor((this.element.clientHeight - this.head.offsetHeight) / ROW_PX));
    const reach = this.element.scrollHeight - this.element.clientHeight, last = Math.max(0, this.order.length - seen);
    return [seen, reach > 0 ? Math.round(this.element.scrollTop / reach * last) : 0];
  }

  draw() {
    const [seen, first] = this.window, drawn = [];
    for (let place = first; place < Math.min(first + seen + 1, this.order.length); place++) {
      const row = this.order[place];
      const line = make("div", { className: row === this.current ? "row chosen" : "row" });
      line.dataset.row = row;
      line.style.top = `${(place - first) * ROW_PX}px`;
      line.onclick = () => this.chosen(row);
      for (const column of this.columns) {
        const cell = make("span", { textContent: column.cell(row), className: column.text ? "text" : "" });
        cell.style.width = `${column.width}px`;
        line.append(cell);
      }
      drawn.push(line);
    }
    this.rows.style.left = "0";
    this.rows.style.transform = `translateX(${-this.element.scrollLeft}px)`;
    this.rows.style.top = `${this.head.offsetHeight}px`;
    this.rows.replaceChildren(...drawn);
  }

  choose(row) {
    this.current = row;
    const place = this.order.indexOf(row), [seen, first] = this.window;
    if (place >= 0 && (place < first || place >= first + seen)) {
      const last = Math.max(1, this.order.length - seen), reach = this.element.scrollHeight - this.element.clientHeight;
      this.element.scrollTop = clamp((place - seen / 2) / last, 0, 1) * reach;
    }
    this.draw();
  }
}

class Histogram {
  constructor(canvas, ends, filtered) {
    Object.assign(this, { canvas, ends, filtered });
    let start = null;
    const place = (event) => clamp((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth, 0, 1);
    canvas.onpointerdown = (event) => { start = place(event); canvas.setPointerCapture(event.pointerId); };
    canvas.onpointermove = (event) => { if (start !== null) { this.brush = [start, place(event)].sort((a, b) => a - b); this.draw(); } };
    canvas.onpointerup = (event) => {
      const [from, to] = [start, place(event)].sort((a, b) => a - b);
      start = null;
      this.brush = null;
      if (to - from < 0.01 || !this.counts) return this.draw();
      const at = (share) => this.low + share * (this.high - this.low);
      this.filtered(from === 0 ? -Infinity : at(from), to === 1 ? Infinity : at(to));
    };
  }

  /* Counts of numbers between two ends, in colours of the ramp; or of classes, each with a colour. */
  show(counts, low, high, colours, labels) {
    Object.assign(this, { counts, low, high, colours });
    [this.ends.children[0].textContent, this.ends.children[1].textContent] = labels ?? [short(low), short(high)];
    this.draw();
  }

  draw() {
    const { canvas, counts } = this, ratio = window.devicePixelRatio || 1, context = canvas.getContext("2d");
    canvas.width = canvas.clientWidth * ratio;
    canvas.height = canvas.clientHeight * ratio;
    if (!counts) return;
    const most = Math.max(...counts, 1), step = canvas.width / counts.length;
    counts.forEach((count, i) => {
      const height = Math.ceil(count / most * (canvas.height - 4));
      const colour = this.colours[Math.floor(i / counts.length * this.colours.length)];
      context.fillStyle = cssOf(colour);
      context.fillRect(Math.round(i * step), canvas.height - height, Math.ceil(step) - 1, height);
    });
    if (!this.brush) return;
    context.fillStyle = "#3451b233";
    context.fillRect(this.brush[0] * canvas.width, 0, (this.brush[1] - this.brush[0]) * canvas.width, canvas.height);
  }
}

function make(tag, properties = {}, children = []) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function short(value) {
  if (value === null || value === undefined || value !== value) return "";
  const size = Math.abs(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return size >= 1000 ? Math.round(value).toLocaleString("en") : size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1)
    : size >= 1 ? value.toFixed(2) : size >= 0.01 ? value.toFixed(3) : value.toPrecision(2);
}

/* Swatch, name and count, with a box to hide it. */
function legend(element, classes, colours, counts, hidden, changed) {
  element.replaceChildren(...classes.map(({ name, id }) => {
    const box = make("input", { type: "checkbox", checked: !hidden.has(id) });
    box.onchange = () => { if (box.checked) hidden.delete(id); else hidden.add(id); changed(); };
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = cssOf(colours[id]);
    return make("label", {}, [box, swatch, make("span", { textContent: name }),
      make("span", { className: "count", textContent: counts?.[id]?.toLocaleString("en") ?? "" })]);
  }));
}

/* A table of a region's numbers, beside those from before a correction, if there was one. */
function numbersTable(found, before) {
  const { classes = [], tissue = [] } = found, known = found.area_mm2 !== null, table = make("table");
  const line = (cells, tag = "td") => table.append(make("tr", {}, cells.map((text) => make(tag, { textContent: text }))));
  const reach = ({ expected, low, high }) => (low === null || low === undefined ? ""
    : low === high ? short(low) : `${short(Math.round(expected))} (${short(low)} – ${short(high)})`);
  const of = (now, then, key) => {
    const [was, is] = [short(then?.[key]), short(now[key])];
    return then && was !== is ? `${was} → ${is}` : is;
  };
  if (found.all) {
    line(["", "found", "expected (95 %)", known ? "per mm²" : ""], "th");
    table.rows[0].cells[2].title = "Of those found, how many are nuclei of this class, by the network's probabilities: mostly fewer than "
      + "were found, as no nucleus is certain. The true number lies between the ends 95 times in 100, if the probabilities are right.";
    line(["all", of(found.all, before?.all, "count"), reach(found.all), short(found.all.density_mm2)]);
  }
  classes.forEach((part, i) => {
    if (part.count || before?.classes[i].count) line([part.name, of(part, before?.classes[i], "count"), reach(part), short(part.density_mm2)]);
  });
  const seen = tissue.map((part, i) => [part, before?.tissue[i]]).filter(([now, then]) => now.share || then?.share);
  if (seen.length) line(["in tissue", found.all ? "found" : "", "", known ? "mm²" : "share"], "th");
  for (const [now, then] of seen) line([now.name, found.all ? of(now, then, "count") : "", "", of(now, then, known ? "area_mm2" : "share")]);
  return table;
}

/* Numbers of a region as they were saved, where none can be asked for. */
function savedTable(saved) {
  const rows = Object.entries(saved).filter(([, value]) => typeof value === "number").map(([name, value]) => make("tr", {}, [make("td", { textContent: name }), make("td", { textContent: short(value) })]));
  return make("table", {}, rows);
}
