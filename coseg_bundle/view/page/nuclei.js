"use strict";
/* The table of nuclei, as typed arrays: a million rows fit. Rows from `count` on are those of corrections. */

const LARGEST_PX = 100; // no part of a nucleus lies farther from its centre

class Nuclei {
  constructor(base, about) {
    this.base = base; // path of the result
    this.about = about;
    this.count = about.nuclei;
    this.stored = new Map(); // columns as they came
    this.coming = new Map(); // promises of columns
    this.cells = new Map(); // outlines by cell
    this.loading = 0; // cells on their way
    this.came = 0; // cells that came
    this.version = 0; // of the colours
    this.failed = () => {}; // told what goes wrong with outlines
    this.patches = [];
    this.unknown = {}; // rows by column, of what corrections may have changed
    this.after = true;
    this.filter = null; // [column name, low, high]
    this.hiddenTypes = new Set();
    this.colourBy = "type";
  }

  async open() {
    await Promise.all([this.fetched("xy"), this.fetched("type"), this.fetched("id")]);
  }

  column(name) { return this.about.columns.find((column) => column.name === name); }

  /* Columns arrive when they are first asked for. */
  fetched(name) {
    if (!this.coming.has(name)) {
      const kind = name === "id" ? Int32Array : this.column(name)?.names.length ? Uint8Array : Float32Array;
      const column = source.bytes(`${this.base}/columns/${name}.bin`).then((bytes) => {
        this.stored.set(name, new kind(bytes));
        return this.stored.get(name);
      });
      column.catch(() => this.coming.delete(name)); // asked for again the next time
      this.coming.set(name, column);
    }
    return this.coming.get(name);
  }

  async values(name) {
    await this.fetched(name);
    return this.combined(name);
  }

  setPatches(patches, unknown, after) { Object.assign(this, { patches, unknown, after }); this.combine(); }

  /* Puts table and corrections together: places, what stands, and which rows lie in which cell. */
  combine() {
    const patches = this.after ? this.patches : [];
    this.total = this.count + patches.reduce((sum, patch) => sum + patch.points.length, 0);
    this.joined = new Map();
    this.standing = new Uint8Array(this.total).fill(1);
    this.xy = new Float32Array(2 * this.total);
    this.xy.set(this.stored.get("xy"));
    let row = this.count;
    this.first = patches.map((patch) => {
      const start = row;
      for (let i = 0; i < start; i++) if (inBox(this.xy[2 * i], this.xy[2 * i + 1], patch.box)) this.standing[i] = 0;
      for (const [x, y] of patch.points) { this.xy[2 * row] = x; this.xy[2 * row++ + 1] = y; }
      return start;
    });
    this.shown = patches;
    this.sortIntoCells();
  }

  combined(name) {
    const stored = this.stored.get(name);
    if (!this.shown.length || name === "xy") return name === "xy" ? this.xy : stored;
    if (!this.joined.has(name)) {
      const values = new stored.constructor(this.total);
      values.set(stored);
      this.shown.forEach((patch, i) => {
        const own = ["id", "type", "tissue"].includes(name) ? patch[name] : patch.values[name];
        for (let j = 0; j < patch.points.length; j++) values[this.first[i] + j] = own?.[j] ?? NaN;
      });
      for (const row of this.unknown[name] ?? []) values[row] = NaN;
      this.joined.set(name, values);
    }
    return this.joined.get(name);
  }

  sortIntoCells() {
    const side = this.about.cell, across = Math.ceil(this.about.size[0] / side) + 1;
    const down = Math.ceil(this.about.size[1] / side) + 1, cells = new Uint32Array(this.total);
    this.starts = new Uint32Array(across * down + 1);
    this.across = across;
    this.down = down;
    const { xy, starts, total } = this, last = across - 1, lowest = down - 1; // known to the loops, which are long
    for (let i = 0; i < total; i++) {
      const column = Math.min(Math.max(Math.floor(xy[2 * i] / side), 0), last);
      cells[i] = Math.min(Math.max(Math.floor(xy[2 * i + 1] / side), 0), lowest) * across + column;
      starts[cells[i] + 1]++;
    }
    for (let i = 0; i < across * down; i++) starts[i + 1] += starts[i];
    const next = starts.slice(), byCell = this.byCell = new Uint32Array(total);
    for (let i = 0; i < total; i++) byCell[next[cells[i]]++] = i;
  }

  /* Numbers of the cells that a box touches. */
  cellsIn([left, top, right, bottom], margin = 0) {
    const side = this.about.cell, found = [];
    const last = clamp(Math.floor((right + margin) / side), -1, this.across - 1);
    const lowest = clamp(Math.floor((bottom + margin) / side), -1, this.down - 1);
    for (let row = Math.max(0, Math.floor((top - margin) / side)); row <= lowest; row++) {
      for (let column = Math.max(0, Math.floor((left - margin) / side)); column <= last; column++) {
        if (this.starts[row * this.across + column] < this.starts[row * this.across + column + 1]) {
          found.push(row * this.across + column);
        }
      }
    }
    return found;
  }

  /* Outlines of a cell: undefined while they are on their way. `then` is called when they are there. */
  outlines(cell, then) {
    const known = this.cells.get(cell);
    if (known) { this.cells.delete(cell); this.cells.set(cell, known); return known.rows ? known : undefined; }
    const place = { then };
    this.cells.set(cell, place);
    this.loading++;
    const address = `${this.base}/outlines/${cell % this.across}_${Math.floor(cell / this.across)}.bin`;
    source.bytes(address).then((bytes) => {
      const [count, points] = new Uint32Array(bytes, 0, 2);
      place.rows = new Uint32Array(bytes, 8, count);
      place.offsets = new Uint32Array(bytes, 8 + 4 * count, count + 1);
      place.points = new Float32Array(bytes, 12 + 8 * count, 2 * points);
      this.came++;
      this.loading--;
      then();
    }).catch((error) => { this.failed(error); setTimeout(() => { this.cells.delete(cell); this.came++; this.loading--; then(); }, 2000); });
    while (this.cells.size > 100) this.cells.delete(this.cells.keys().next().value);
    return undefined;
  }

  /* Calls `visit` with row, points, and the place in them, for the outlines of some cells and those of corrections. */
  eachOutline(cells, visit) {
    for (const { rows, offsets, points } of cells) {
      for (let i = 0; i < rows.length; i++) visit(rows[i], points, offsets[i], offsets[i + 1]);
    }
    this.shown.forEach((patch, p) => {
      patch.flat ??= Float32Array.from(patch.outlines.flat());
      patch.points.forEach((_, i) => visit(this.first[p] + i, patch.flat, patch.offsets[i], patch.offsets[i + 1]));
    });
  }

  /* Waits for the columns that are painted; which ones these are may change meanwhile. */
  async painted() {
    const missing = () => [this.colourBy, this.filter?.[0]].find((name) => name && !this.stored.has(name));
    for (let name = missing(); name; name = missing()) await this.fetched(name);
  }

  /* Colours of all rows as the canvas stores them (ABGR); 0 hides a row. The filter hides none that a correction brought
     and of which its column says nothing: what was just drawn is seen. */
  async paint() {
    await this.painted();
    const name = this.colourBy, values = this.combined(name), types = this.combined("type");
    const filter = this.filter && [this.combined(this.filter[0]), this.filter[1], this.filter[2]], ids = this.combined("id");
    const isOut = (value, i) => !(value >= filter[1] && value <= filter[2]) && (ids[i] > 0 || value === value);
    const column = this.column(name), colours = new Uint32Array(this.total);
    const table = column.names.length ? paletteOf(classesOf(this.about, name)) : RAMP;
    const [low, high] = column.names.length ? [0, 1] : (this.range = rangeOf(values));
    const bins = (RAMP.length - 1) / (high - low || 1);
    for (let i = 0; i < this.total; i++) {
      const value = values[i];
      if (!this.standing[i] || (this.hiddenTypes.size && this.hiddenTypes.has(types[i]))) continue;
      if (filter && isOut(filter[0][i], i)) continue;
      if (column.names.length) colours[i] = table[value] ?? GREY;
      else colours[i] = value === value ? table[clamp(Math.round((value - low) * bins), 0, RAMP.length - 1)] : GREY;
    }
    this.colours = colours;
    this.version++;
  }

  /* The nucleus whose outline holds a point; else the nearest one whose centre is not farther than `reach`; -1 for none. */
  at(x, y, reach) {
    let best = -1, least = reach * reach;
    const there = this.cellsIn([x, y, x, y], LARGEST_PX).map((cell) => this.cells.get(cell)).filter((cell) => cell?.rows);
    this.eachOutline(there, (row, points, from, to) => { if (this.colours[row] && holds(points, from, to, x, y)) best = row; });
    if (best >= 0) return best;
    for (const cell of this.cellsIn([x - reach, y - reach, x + reach, y + reach])) {
      for (let j = this.starts[cell]; j < this.starts[cell + 1]; j++) {
        const i = this.byCell[j], dx = this.xy[2 * i] - x, dy = this.xy[2 * i + 1] - y;
        if (this.colours[i] && dx * dx + dy * dy < least) { best = i; least = dx * dx + dy * dy; }
      }
    }
    return best;
  }

  /* Rows that are shown, sorted by a column. */
  async ordered(name, descending) {
    if (name) await this.fetched(name);
    let shown = 0;
    const rows = new Uint32Array(this.total);
    for (let i = 0; i < this.total; i++) if (this.colours[i]) rows[shown++] = i;
    const kept = rows.subarray(0, shown);
    return name ? sortedBy(kept, this.combined(name), descending) : kept;
  }
}

/* Sorts rows by their values, unknown ones last. Value and row go into one number, which is sorted natively. */
function sortedBy(rows, values, descending) {
  const bits = new Uint32Array(1), float = new Float32Array(bits.buffer), keys = new Float64Array(rows.length);
  const whole = 2 ** Math.ceil(Math.log2(values.length + 1)), step = Math.max(1, (2 ** 32 * whole) / 2 ** 53);
  for (let i = 0; i < rows.length; i++) {
    float[0] = values[rows[i]];
    let key = bits[0] & 0x80000000 ? ~bits[0] >>> 0 : (bits[0] | 0x80000000) >>> 0; // order of floats as integers
    if (descending) key = 0xffffffff - key;
    if (float[0] !== float[0]) key = 0xffffffff;
    keys[i] = Math.floor(key / step) * whole + rows[i];
  }
  keys.sort();
  return Uint32Array.from(keys, (key) => key % whole);
}

/* Counts of values in equal bins between two ends, of rows that are shown. */
function histogram(values, colours, low, high, bins) {
  const counts = new Float64Array(bins), scale = bins / (high - low || 1);
  for (let i = 0; i < values.length; i++) {
    if (!colours[i] || !(values[i] >= low && values[i] <= high)) continue;
    counts[Math.min(bins - 1, Math.floor((values[i] - low) * scale))]++;
  }
  return counts;
}

/* The range that nearly all values lie in, from a sample. */
function rangeOf(values) {
  const sample = [], step = Math.max(1, Math.floor(values.length / 20000));
  for (let i = 0; i < values.length; i += step) if (values[i] === values[i]) sample.push(values[i]);
  sample.sort((a, b) => a - b);
  if (!sample.length) return [0, 1];
  return [sample[Math.floor(0.005 * (sample.length - 1))], sample[Math.ceil(0.995 * (sample.length - 1))]];
}

/* Whether a part of `points`, a ring, holds a point: it does if a ray from there meets the ring an odd number of times. */
function holds(points, from, to, x, y) {
  let inside = false;
  for (let i = from, j = to - 1; i < to; j = i++) {
    const [x0, y0, x1, y1] = [points[2 * i], points[2 * i + 1], points[2 * j], points[2 * j + 1]];
    if ((y0 > y) !== (y1 > y) && x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)) inside = !inside;
  }
  return inside;
}

function inBox(x, y, [left, top, width, height]) { return x >= left && y >= top && x < left + width && y < top + height; }

function classesOf(about, name) { return name === "tissue" ? about.tissue_classes : about.nuclei_classes; }

function packed([red, green, blue]) { return (255 << 24 | blue << 16 | green << 8 | red) >>> 0; }

function cssOf(colour, alpha = 1) {
  return `rgba(${colour & 255},${colour >> 8 & 255},${colour >> 16 & 255},${alpha})`;
}

/* White would not be seen on a slide. */
function paletteOf(classes) {
  return classes.map(({ color }) => packed(color.every((part) => part > 240) ? [120, 124, 135] : color));
}

const GREY = packed([150, 150, 150]);
const STOPS = [[38, 40, 140], [0, 120, 190], [0, 170, 140], [150, 205, 60], [250, 225, 50]];
const RAMP = Array.from({ length: 32 }, (_, i) => {
  const place = i / 31 * (STOPS.length - 1), at = Math.min(STOPS.length - 2, Math.floor(place)), part = place - at;
  return packed(STOPS[at].map((value, c) => Math.round(value + (STOPS[at + 1][c] - value) * part)));
});
