"use strict";
/* Puts it together: which result, which tool, which tab; the mouse and the keys. A page shows one result as long as it
   lives, and another one is another page: so whatever is asked for here, and whenever it comes, is of this result. */

const element = (id) => document.getElementById(id);

class App {
  constructor() {
    this.base = location.search.slice(1) || "0"; // number of the result, the first part of what is asked
    this.tool = "move";
    this.keys = { m: () => this.setTool("move"), r: () => this.setTool("region"), c: () => this.setTool("correct"),
      b: () => this.compare(!this.pen.after), "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5),
      0: () => this.zoom(0), "?": () => element("keys").showModal(), escape: () => { this.pen.points = null; this.draw(); } };
  }

  async start() {
    const results = await source.json("results.json"), select = element("result");
    select.replaceChildren(...results.map(({ name }, i) => make("option", { value: i, textContent: name })));
    select.value = this.base;
    select.onchange = () => this.leave(select);
    for (const one of document.querySelectorAll(".served")) one.hidden = source.exported;
    this.listen();
    await this.open();
  }

  /* Goes to the page of another result, where it can be opened; this one stays until then. */
  async leave(select) {
    const number = select.value;
    this.say("Opening…", "busy");
    try {
      if (number !== this.base) await source.json(`${number}/about.json`);
      if (select.value !== number) return; // another one was chosen since
      this.say("");
      this.left = number !== this.base && (!this.pen || this.pen.allSaved || confirm("What you drew is not saved. Open another result all the same?"));
    } catch (error) { this.fail(error); }
    if (this.left) location.replace(`?${number}#result`); else select.value = this.base;
  }

  async open() {
    this.say("Opening…", "busy");
    const about = this.about = await source.json(`${this.base}/about.json`);
    document.title = `${about.name} – Co-Seg`;
    this.note(about.notes);
    element("tools").querySelector("[data-tool=correct]").disabled = !about.correct;
    this.camera = new Camera(about.size);
    this.resize();
    this.camera.fit();
    this.nuclei = new Nuclei(this.base, about);
    this.nuclei.shown = [];
    this.nuclei.failed = (error) => this.fail(error);
    this.awaited = new Set();
    this.columns = Promise.resolve();
    this.painter = new Painter(element("canvas"), about, this.base, this.nuclei, () => this.draw(), (path) => this.askWhy(path));
    this.pen = new Pen(this);
    this.setTool("move");
    this.draw();
    await Promise.all([this.nuclei.open(), this.pen.open()]);
    this.fillColumns();
    this.nuclei.setPatches(this.pen.patches, this.pen.unknown, this.pen.after);
    await this.recolour();
    this.tissueTable();
    this.pen.list();
    if (innerWidth <= 700) element("layers").open = false;
    const count = this.nuclei.standing.reduce((a, b) => a + b, 0);
    this.say(about.nuclei ? `${count.toLocaleString("en")} nuclei` : about.kind === "image" ? "" : "There are no nuclei in these results.");
    document.body.dataset.ready = this.base;
  }

  fillColumns() {
    const { about, nuclei } = this, known = about.columns.filter(({ name }) => name !== "type_prob" || about.nuclei_classes.length > 2);
    const options = () => known.map(({ name, label }) => make("option", { value: name, textContent: label }));
    element("colour-by").replaceChildren(...options());
    element("colour-by").value = nuclei.colourBy;
    element("histogram-of").replaceChildren(...options());
    element("histogram-of").value = known.find((column) => !column.names.length)?.name ?? "type";
    const columns = [{ name: "id", label: "id", width: 62, cell: (row) => nuclei.combined("id")[row] || "new" }, ...known.map((column) => ({
      name: column.name, label: column.label, text: column.names.length > 0, width: column.names.length ? 104 : 96,
      cell: (row) => {
        if (!nuclei.stored.has(column.name)) { this.fetchLater(column.name); return ""; }
        const value = nuclei.combined(column.name)[row];
        return column.names.length ? column.names[value] ?? "" : short(value);
      } }))];
    this.table = new Table(element("nuclei-table"), columns, (row) => this.choose(row, true));
    this.table.onsort = () => this.order();
    this.histogram = new Histogram(element("histogram"), element("histogram-scale"), (low, high) => {
      nuclei.filter = [element("histogram-of").value, low, high];
      this.recolour();
    });
  }

  /* One column after the other, so that tiles need not wait for them. */
  fetchLater(name) {
    if (this.awaited.has(name)) return;
    this.awaited.add(name);
    const { nuclei } = this;
    this.columns = this.columns.then(() => nuclei.fetched(name)).then(() => this.table.draw(), (error) => this.fail(error));
  }

  async tissueTable() {
    const asked = this.pen.shown, regions = await source.json(`${this.base}/tissue.json${this.pen.when}`);
    if (asked !== this.pen.shown) return; // what is shown is another since, and is asked for
    const known = this.about.mpp !== null;
    const unit = known ? "area, mm²" : "area, px²", area = (row) => (known ? regions[row].area_um2 / 1e6 : regions[row].area_px);
    const columns = [{ name: "name", label: "class", text: true, width: 190, cell: (row) => regions[row].name },
      { name: "area", label: unit, width: 110, cell: (row) => short(area(row)) }];
    const table = new Table(element("tissue-table"), columns, (row) => {
      table.choose(row);
      this.camera.show(regions[row].box);
      this.draw();
    });
    table.sortedBy = this.tissues?.sortedBy ?? "area";
    table.descending = this.tissues?.descending ?? true;
    this.tissues = table;
    table.onsort = () => {
      const rows = Uint32Array.from(regions, (_, i) => i), sign = table.descending ? -1 : 1;
      const by = table.sortedBy === "area" ? (a, b) => area(a) - area(b) : (a, b) => regions[a].name.localeCompare(regions[b].name);
      table.show(rows.sort((a, b) => sign * by(a, b)));
    };
    table.onsort();
  }

  /* After anything that changes which nuclei are shown and how. */
  async recolour() {
    const { nuclei, about } = this;
    await nuclei.paint();
    if (this.painter.chosen >= nuclei.total || !nuclei.standing[this.painter.chosen]) this.painter.chosen = -1;
    const column = nuclei.column(nuclei.colourBy), types = nuclei.combined("type"), counts = new Array(256).fill(0);
    for (let i = 0; i < nuclei.total; i++) counts[types[i]] += nuclei.standing[i];
    const classes = about.nuclei_classes.map(({ name }, id) => ({ name, id })).slice(1), grey = new Array(256).fill(GREY);
    const colours = column.name === "type" ? paletteOf(about.nuclei_classes) : grey;
    legend(element("nuclei-legend"), classes, colours, counts, nuclei.hiddenTypes, () => this.recolour());
    if (column.name === "tissue") element("nuclei-legend").append(...swatches(about.tissue_classes));
    if (!column.names.length) element("nuclei-legend").append(...rampLegend(nuclei.range));
    const tissues = about.tissue_classes.map(({ name }, id) => ({ name, id })).slice(1);
    legend(element("tissue-legend"), tissues, paletteOf(about.tissue_classes), null, this.painter.hiddenTissue, () => this.draw());
    element("clear-filter").hidden = !nuclei.filter;
    this.draw();
    await this.drawHistogram();
    await this.order();
  }

  async drawHistogram() {
    const { nuclei, about } = this, name = element("histogram-of").value, column = nuclei.column(name);
    const values = await nuclei.values(name), skip = name === "type" ? 1 : 0;
    if (name !== element("histogram-of").value) return; // another one was chosen since
    if (column.names.length) {
      const colours = paletteOf(classesOf(about, name)).slice(skip), last = column.names.length - 1;
      const counts = histogram(values, nuclei.colours, skip - 0.5, last + 0.5, column.names.length - skip);
      this.histogram.show(counts, skip - 0.5, last + 0.5, colours, [column.names[skip], skip < last ? column.names[last] : ""]);
    } else {
      const [low, high] = rangeOf(values);
      this.histogram.show(histogram(values, nuclei.colours, low, high, 48), low, high, name === nuclei.colourBy ? RAMP : [GREY]);
    }
  }

  async order() {
    const { sortedBy, descending } = this.table, rows = await this.nuclei.ordered(sortedBy, descending);
    if (sortedBy !== this.table.sortedBy || descending !== this.table.descending) return; // another order was chosen since
    this.table.show(rows);
    element("shown").textContent = `${rows.length.toLocaleString("en")} of ${this.nuclei.standing.reduce((a, b) => a + b, 0).toLocaleString("en")} shown`;
  }

  choose(row, goThere) {
    this.painter.chosen = row;
    if (row >= 0) {
      const { xy } = this.nuclei;
      if (goThere) this.camera.goto(xy[2 * row], xy[2 * row + 1], 20 / NUCLEUS_UM * (this.about.mpp ?? 0.25));
      else this.setTab("nuclei");
    }
    this.table.choose(row);
    this.draw();
  }

  compare(after) {
    if (!this.pen.patches.length) return;
    this.pen.after = after;
    this.pen.changed();
  }

  /* A picture that did not come does not say why: its address is asked once more. */
  askWhy(path) {
    if (this.asking) return;
    this.asking = true;
    source.bytes(path).catch((error) => this.fail(error)).finally(() => setTimeout(() => { this.asking = false; }, 2000));
  }

  setTool(tool) {
    if (tool !== "move" && source.exported) return;
    if (tool === "correct" && !this.about.correct) return;
    if (tool !== this.tool) this.pen.points = null; // a stroke is of the tool that it was begun with
    this.tool = tool;
    element("viewer").classList.toggle("drawing", tool !== "move");
    for (const button of element("tools").children) button.classList.toggle("on", button.dataset.tool === tool);
    if (tool === "region") this.setTab("regions");
    if (tool === "correct") {
      this.setTab("corrections");
      const side = this.about.correct * this.camera.scale;
      if (side < 150) this.camera.zoom(0.8 * Math.min(this.camera.width, this.camera.height) / side);
      this.pen.look();
    }
    this.draw();
  }

  setTab(name) {
    this.tab = name;
    for (const button of element("tabs").children) button.classList.toggle("on", button.dataset.tab === name);
    for (const tab of document.querySelectorAll(".tab")) tab.hidden = tab.id !== `tab-${name}`;
    if (name === "nuclei") { this.table?.draw(); this.histogram?.draw(); }
  }

  zoom(factor, x, y) {
    if (factor) this.camera.zoom(factor, x, y); else this.camera.fit();
    this.draw();
  }

  say(text, kind = "") { Object.assign(element("status"), { textContent: text, className: kind, title: text }); }

  fail(error) { this.say(error.message, "error"); }

  note(sentences) { element("notes").textContent = sentences.join(" "); }

  resize() {
    this.camera?.resize(element("viewer").clientWidth, element("viewer").clientHeight);
    if (this.painter) this.draw();
  }

  draw() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => {
      const start = performance.now();
      this.scheduled = false;
      this.painter.draw(this.camera, (context, camera) => this.pen.draw(context, camera));
      this.scaleBar();
      this.pen.lookSoon();
      this.lastDraw = performance.now() - start; // ms, for measurements
    });
  }

  scaleBar() {
    const unit = this.about.mpp ?? 1, longest = 150 / this.camera.scale * unit, power = 10 ** Math.floor(Math.log10(longest));
    const length = [5, 2, 1].map((k) => k * power).find((value) => value <= longest);
    const text = this.about.mpp === null ? `${short(length)} px` : length >= 1000 ? `${short(length / 1000)} mm` : `${short(length)} um`;
    element("scale-text").textContent = text.replace("um", "µm");
    element("scale-bar").style.width = `${length / unit * this.camera.scale}px`;
  }

  tellPosition(x, y) {
    const { mpp, size } = this.about, inside = x >= 0 && y >= 0 && x < size[0] && y < size[1];
    const text = mpp === null ? `${x.toFixed(0)}, ${y.toFixed(0)} px` : `${(x * mpp).toFixed(1)}, ${(y * mpp).toFixed(1)} µm`;
    element("position").textContent = inside ? text : "";
  }

  listen() {
    const viewer = element("viewer");
    let last = null, travelled = 0, drawing = false;
    const place = (event) => { const box = viewer.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    new ResizeObserver(() => this.resize()).observe(viewer);
    element("canvas").addEventListener("pointerdown", (event) => {
      if (event.button > 1 || !event.isPrimary || !this.painter) return;
      element("canvas").setPointerCapture(event.pointerId);
      viewer.focus({ preventScroll: true });
      last = place(event);
      travelled = 0;
      drawing = this.tool !== "move" && !event.shiftKey && event.button === 0;
      if (drawing) this.pen.start(this.camera.toImage(...last)); else viewer.classList.add("moving");
    });
    element("canvas").addEventListener("pointermove", (event) => {
      if (!event.isPrimary || !this.painter) return;
      const now = place(event), at = this.camera.toImage(...now);
      this.tellPosition(...at);
      if (!last) return;
      travelled += Math.hypot(now[0] - last[0], now[1] - last[1]);
      if (drawing) { if (this.pen.points) this.pen.move(at); } else this.camera.move(now[0] - last[0], now[1] - last[1]);
      last = now;
      this.draw();
    });
    element("canvas").addEventListener("pointerup", (event) => {
      if (!event.isPrimary) return;
      viewer.classList.remove("moving");
      if (last && drawing) { if (this.pen.points) this.pen.end(); }
      else if (last && travelled < 4 && this.nuclei.colours) {
        this.choose(this.nuclei.at(...this.camera.toImage(...last), 8 / this.camera.scale), false);
      }
      last = null;
      this.draw();
    });
    element("canvas").addEventListener("pointercancel", () => { last = null; if (this.pen) this.pen.points = null; });
    viewer.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (this.painter && event.target === element("canvas")) this.zoom(2 ** (-clamp(event.deltaY, -300, 300) / 300), ...place(event));
    }, { passive: false });
    window.addEventListener("keydown", (event) => {
      if (event.target.matches("input:not([type=checkbox], [type=range]), select") || !this.pen || element("keys").open) return;
      const key = event.key.toLowerCase(), again = key === "y" || (key === "z" && event.shiftKey);
      if ((event.ctrlKey || event.metaKey) && (again || key === "z")) {
        event.preventDefault();
        if (this.tab !== "regions") this.pen[again ? "redo" : "undo"]();
        else if (!again) this.pen.takeBack();
      }
      else if (!event.ctrlKey && !event.metaKey && !event.altKey) this.keys[key]?.();
    });
    window.addEventListener("beforeunload", (event) => { if (!this.left && this.pen && !this.pen.allSaved) event.preventDefault(); });
    window.addEventListener("unhandledrejection", (event) => this.fail(event.reason));
    for (const [one, name] of [[window, "focus"], [document, "visibilitychange"]]) {
      one.addEventListener(name, () => { if (this.pen && !source.exported && !document.hidden) this.pen.meet(); });
    }
    this.buttons();
  }

  buttons() {
    for (const button of element("tools").children) button.onclick = () => this.setTool(button.dataset.tool);
    for (const button of element("tabs").children) button.onclick = () => this.setTab(button.dataset.tab);
    for (const button of element("zoom").children) button.onclick = () => this.zoom(Number(button.dataset.zoom));
    for (const button of element("compare").children) button.onclick = () => this.compare(button.dataset.after === "true");
    for (const layer of ["image", "tissue", "nuclei"]) {
      element(`show-${layer}`).onchange = (event) => { this.painter.shows[layer] = event.target.checked; this.draw(); };
      element(`${layer}-opacity`).oninput = (event) => { this.painter.opacity[layer] = event.target.value / 100; this.draw(); };
    }
    element("colour-by").onchange = (event) => { this.nuclei.colourBy = event.target.value; this.recolour(); };
    element("histogram-of").onchange = () => this.drawHistogram();
    element("clear-filter").onclick = () => { this.nuclei.filter = null; this.recolour(); };
    element("undo").onclick = () => this.pen.undo();
    element("redo").onclick = () => this.pen.redo();
    element("help").onclick = () => element("keys").showModal();
    element("save-corrections").onclick = () => this.pen.save();
    element("save-regions").onclick = () => this.pen.saveRegions();
    element("regions-geojson").onclick = () => {
      download(new Blob([JSON.stringify(this.pen.collection())]), "regions.geojson");
      if (this.about.kind === "image") this.pen.remember(this.pen.regions); // nowhere else to save them
    };
    element("regions-csv").onclick = () => this.pen.work("Writing…", async () => {
      const { when } = this.pen, name = `regions${when && " before"}.csv`;
      download(await source.send("POST", `${this.base}/regions.csv${when}`, this.pen.collection()), name);
      this.say(`${name} is written.`);
    });
    element("downloads").onclick = () => {
      const { when } = this.pen;
      make("a", { href: `${this.base}/nuclei.csv${when}`, download: `${this.about.name}${when && " before"}.csv` }).click();
    };
  }
}

function swatches(classes) {
  return classes.map(({ name }, i) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = cssOf(paletteOf(classes)[i]);
    return make("label", {}, [swatch, make("span", { textContent: name })]);
  });
}

function rampLegend([low, high]) {
  const ramp = make("div", { className: "ramp" });
  ramp.style.background = `linear-gradient(90deg, ${RAMP.map((colour) => cssOf(colour)).join(", ")})`;
  return [ramp, make("div", { className: "ends" }, [make("span", { textContent: short(low) }), make("span", { textContent: short(high) })])];
}

function download(blob, name) {
  const href = URL.createObjectURL(blob);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
}

const app = new App();
app.start().catch((error) => app.fail(error));
