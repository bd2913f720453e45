"use strict";
/* What the mouse draws: regions to measure, and corrections that go to the network. */

class Pen {
  constructor(app) {
    this.app = app;
    this.points = null; // of the stroke that is being drawn
    this.regions = [];
    this.region = -1;
    this.former = []; // the regions before each that was drawn or removed
    this.patches = [];
    this.unknown = {}; // rows of the table, by column, of what they may have changed
    this.numbers = []; // before and after each correction, also of those that were taken back
    this.undone = 0;
    this.after = true;
    this.isSaved = true;
    this.saved = []; // name and geometry of the regions that were saved, as far as they are known here
    this.waiting = 0; // strokes and orders that are still to be done
    this.revision = 0; // of the corrections that are shown
    this.regionsState = ""; // of the saved regions that are known
    this.brush = null;
    this.looked = ""; // the frame that the network has looked at
    this.queue = Promise.resolve();
  }

  async open() {
    const { base, about } = this.app;
    try {
      const saved = await source.json(`${base}/regions.json`);
      this.regions = regionsOf(saved);
      this.regionsState = saved.state;
    } catch (error) { this.app.note([...about.notes, error.message]); } // the rest can be looked at all the same
    this.remember(this.regions);
    if (source.exported) return this.list();
    this.take(await source.json(`${base}/edits.json`));
    const erase = { color: [255, 255, 255] };
    const of = (task, classes) => [...classes.slice(1).map((one) => ({ ...one, task })), { ...erase, task, name: "" }];
    this.fillBrushes([...of("tissue", about.tissue_classes), ...of("nuclei", about.nuclei_classes)]);
    await Promise.all([this.compareAll(), ...this.regions.map((region) => this.measure(region))]);
    this.list();
  }

  get allSaved() { return !this.waiting && this.isSaved && this.regionsSaved && this.numbersSaved; }

  /* Whether the regions are drawn and named as they were saved; their numbers may be others. */
  get regionsSaved() {
    const same = ({ name, geometry }, i) => name === this.saved[i].name && geometry === this.saved[i].geometry;
    return this.regions.length === this.saved.length && this.regions.every(same);
  }

  remember(regions) { this.saved = regions.map(({ name, geometry }) => ({ name, geometry })); }

  /* Whether the saved regions have the numbers that hold now. */
  get numbersSaved() {
    const same = ({ saved, holds = {} }) => Object.entries(saved).every(([name, value]) => (holds[name] ?? value) === value);
    return this.regions.every(same);
  }

  /* What follows the path of a question, by whether the page shows before or after. */
  get when() { return this.after || !this.patches.length ? "" : "?before"; }

  /* Changes with what of the corrections is shown: an answer that was asked before holds no more. */
  get shown() { return `${this.revision}${this.when}`; }

  /* Numbers of corrections that were made before the page was opened, or in another window. */
  async compareAll() {
    await Promise.all(this.patches.map(async (patch, i) => {
      if (patch.after) return;
      const [x, y, w, h] = patch.box, corners = [[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]];
      const numbers = (count) => source.send("POST", `${this.app.base}/measure?first=${count}`, { type: "Polygon", coordinates: [corners] });
      [patch.before, patch.after] = await Promise.all([numbers(i), numbers(i + 1)]);
    }));
  }

  take(edits) {
    this.patches = edits.patches.map((patch, i) => Object.assign(patch, this.numbers[i]));
    this.unknown = edits.unknown;
    this.undone = edits.undone;
    this.revision = edits.revision;
    this.isSaved = edits.saved;
  }

  /* Another window may have changed something. */
  async meet() {
    const { corrections, regions } = await source.json(`${this.app.base}/state.json`);
    if (corrections !== this.revision) this.work("Reading…", () => this.takeAnew());
    if (regions !== this.regionsState) this.work("Reading…", () => this.takeRegions());
  }

  async takeAnew() {
    const edits = await source.json(`${this.app.base}/edits.json`);
    if (edits.revision === this.revision) return;
    this.numbers = [];
    this.take(edits);
    this.after = true;
    await this.changed();
    this.app.say("Corrections were changed in another window. They are shown now.");
  }

  /* The saved regions; what was drawn, named or removed here and not saved stays so. */
  async takeRegions() {
    const saved = await source.json(`${this.app.base}/regions.json`), there = regionsOf(saved);
    if (saved.state === this.regionsState) return;
    this.regions = merged(this.saved, there, this.regions);
    this.former = [];
    this.remember(there);
    this.region = -1;
    this.regionsState = saved.state;
    await Promise.all(this.regions.map((region) => this.measure(region)));
    this.app.say("Regions were changed in another window or program. They are shown now, with what you changed here.");
    this.list();
  }

  fillBrushes(brushes) {
    const place = element("brushes"), titles = { tissue: "Tissue", nuclei: "Nuclei, one outline each" };
    place.replaceChildren();
    for (const task of ["tissue", "nuclei"]) {
      place.append(make("h4", { textContent: titles[task] }));
      for (const brush of brushes.filter((one) => one.task === task)) {
        const swatch = make("span", { className: "swatch" });
        swatch.style.background = cssOf(packed(brush.color));
        const button = make("button", {}, [swatch, brush.name || "erase"]);
        button.dataset.brush = `${task}:${brush.name}`;
        button.onclick = () => { this.pick(brush); this.app.setTool("correct"); };
        place.append(button);
      }
    }
    this.pick(brushes[0]);
  }

  pick(brush) {
    this.brush = brush;
    for (const button of element("brushes").querySelectorAll("button")) {
      button.classList.toggle("on", button.dataset.brush === `${brush.task}:${brush.name}`);
    }
  }

  /* The square that the network answers for: it follows the view, in steps, so that it looks at few of them. */
  get frame() {
    const { about, camera } = this.app, side = about.correct, step = Math.max(1, Math.round(side / 4)), [w, h] = about.size;
    const at = (centre, length) => clamp(Math.round((centre - side / 2) / step) * step, 0, Math.max(0, length - side));
    return [at(camera.x, w), at(camera.y, h), Math.min(side, w), Math.min(side, h)];
  }

  /* The first answer for a frame takes longest: it is asked for before anybody draws. */
  lookSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.look(), 500); // not at each frame that is passed
  }

  look() {
    const frame = this.frame, known = String(frame) === this.looked;
    if (known || this.points || this.app.tool !== "correct" || this.app.camera.scale * frame[2] < 150) return;
    const first = this.looked === "";
    const word = first ? "The network is loaded, and looks at the frame: seconds, the first time. You may draw." : "The network looks at the frame…";
    this.looked = String(frame);
    this.queued(word, async (before) => { // nobody loses it
      const { seconds, notes } = await source.send("POST", `${this.app.base}/look`, { box: frame });
      this.app.note(notes);
      if (first) this.app.say(`The network knows the frame (${seconds.toFixed(1)} s). Draw in it.`);
      else this.app.say(...before); // what was saved or measured is still to be read
    });
  }

  start(point) { this.points = [point]; }

  move(point) {
    const last = this.points.at(-1), scale = this.app.camera.scale;
    if (Math.hypot(point[0] - last[0], point[1] - last[1]) * scale > 2.5) this.points.push(point);
  }

  end() {
    const points = this.points.map((point) => point.map((v) => Math.round(v * 100) / 100));
    this.points = null;
    if (points.length < 3) return this.app.say("Hold the mouse button and draw around something.");
    const geometry = { type: "Polygon", coordinates: [[...points, points[0]]] };
    if (this.app.tool === "region") this.addRegion(geometry); else this.correct(geometry);
  }

  async addRegion(geometry) {
    this.waiting++;
    const numbers = this.regions.map((one) => Number(/^region (\d+)$/.exec(one.name)?.[1] ?? 0));
    const region = { name: `region ${Math.max(0, ...numbers) + 1}`, geometry, saved: {} };
    try {
      await this.measure(region, true);
      region.geometry = region.found.geometry; // as it was measured
      this.former.push([...this.regions]);
      this.regions.push(region);
      this.region = this.regions.length - 1;
      this.app.setTab("regions");
      this.app.say(region.found.all ? `${region.name}: ${short(region.found.all.count)} nuclei` : `${region.name} is drawn.`);
    } catch (error) { this.app.fail(error); } finally { this.waiting--; }
    this.list();
  }

  /* The last region that was drawn is gone again, or the last that was removed is back. */
  async takeBack() {
    if (!this.former.length) return this.app.say("No region was drawn or removed here.");
    this.regions = this.former.pop();
    this.region = -1;
    this.list();
    await Promise.all(this.regions.map((region) => this.measure(region))); // of corrections that came meanwhile
    this.list();
  }

  async measure(region, strict = false) {
    const { when, shown } = this;
    try {
      const found = await source.send("POST", `${this.app.base}/measure${when}`, region.geometry);
      if (shown !== this.shown) return this.measure(region, strict);
      region.found = found;
      if (!when) region.holds = found.measurements;
    } catch (error) { if (strict) throw error; region.error = error.message; }
  }

  correct(geometry) {
    const { task, name } = this.brush, frame = this.frame;
    this.pending = geometry;
    this.work("The network answers…", async () => {
      const request = { box: frame, task, name, drawn: geometry };
      try {
        const answer = await source.send("POST", `${this.app.base}/correct`, request);
        const { patch, before, after, revision, unknown } = answer, others = revision !== this.revision + 1;
        if (others) { this.numbers = []; this.take(await source.json(`${this.app.base}/edits.json`)); }
        else { this.patches.push(Object.assign(patch, { before, after })); Object.assign(this, { revision, unknown }); }
        this.app.note(answer.notes);
        this.looked = String(patch.box); // wider than the frame where the drawing reached out of it
        this.app.say(`Answered in ${answer.patch.seconds.toFixed(1)} s. B switches before and after.`);
      } finally { this.pending = null; }
      this.isSaved = false;
      this.after = true;
      this.undone = 0;
      await this.changed();
      this.app.setTab("corrections");
    });
  }

  undo() { this.step("undo", () => this.patches.length, "The last correction is undone."); }

  redo() { this.step("redo", () => this.undone, "The correction is made anew."); }

  step(name, possible, word) {
    this.work(`${name === "undo" ? "Undo" : "Redo"}…`, async (before) => {
      if (!possible()) return this.app.say(...before); // it waited for what came before it
      this.patches.forEach((patch, i) => { this.numbers[i] = { before: patch.before, after: patch.after }; });
      this.take(await source.send("POST", `${this.app.base}/${name}`, { revision: this.revision }));
      this.after = true;
      await this.changed();
      this.app.say(word);
    });
  }

  save() {
    this.work("Saving…", async () => {
      const { files } = await source.send("POST", `${this.app.base}/save`, { revision: this.revision });
      this.isSaved = true;
      this.app.say(files.length ? `Saved: ${files.join(", ")}` : "Saved: there are no corrections any more.");
      this.list();
    });
  }

  saveRegions() {
    this.work("Saving…", async () => {
      const content = { ...this.collection(), state: this.regionsState }, regions = [...this.regions], sent = content.features;
      const answer = await source.send("PUT", `${this.app.base}/regions.json`, content), there = regionsOf(answer);
      this.regionsState = answer.state;
      regions.forEach((region, i) => {
        region.saved = there[i].saved;
        if (region.name === sent[i].properties.name) region.name = there[i].name; // not named anew meanwhile
      });
      this.saved = there.map(({ name }, i) => ({ name, geometry: regions[i].geometry }));
      this.list();
      this.app.say(`Saved ${answer.saved} regions: ${this.app.about.name}/regions.geojson`);
    });
  }

  collection() {
    const features = this.regions.map(({ name, geometry }) => ({ type: "Feature", geometry, properties: { name, objectType: "annotation" } }));
    return { type: "FeatureCollection", features };
  }

  /* What somebody asked for: a page that is left before it is done asks first. */
  work(word, job) {
    this.waiting++;
    return this.queued(word, job).finally(() => { this.waiting--; });
  }

  /* One thing after the other, with a word about it; what goes wrong is said. */
  queued(word, job) {
    this.queue = this.queue.then(async () => {
      const { textContent, className } = element("status"), before = [textContent, className];
      this.app.say(word, "busy");
      try { await job(before); } catch (error) {
        if (error.status === 409) await Promise.all([this.takeAnew(), this.takeRegions()]).catch(() => {});
        this.app.fail(error);
      }
      this.app.draw();
    });
    return this.queue;
  }

  async changed() {
    this.app.nuclei.setPatches(this.patches, this.unknown, this.after);
    this.list(); // its buttons need not wait for numbers
    await this.app.recolour();
    await Promise.all([this.app.tissueTable(), this.compareAll(), ...this.regions.map((region) => this.measure(region))]);
    this.list();
  }

  list() {
    element("compare").hidden = !this.patches.length;
    for (const button of element("compare").children) button.classList.toggle("on", button.dataset.after === String(this.after));
    element("undo").disabled = !this.patches.length;
    element("save-corrections").disabled = this.isSaved;
    element("redo").disabled = !this.undone;
    for (const id of ["regions-geojson", "regions-csv"]) element(id).disabled = !this.regions.length;
    this.tellUnsaved();
    element("correction-list").replaceChildren(...this.patches.map((patch) => {
      const { task, name } = patch.drawing, title = make("div", { className: "title" }, [make("b", { textContent: name || `no ${task}` })]);
      const card = make("div", { className: "card" }, [title, ...(patch.after ? [numbersTable(patch.after, patch.before)] : [])]);
      card.onclick = () => { const [x, y, w, h] = patch.box; this.app.camera.show([x, y, x + w, y + h]); this.app.draw(); };
      return card;
    }).reverse());
    this.cards();
    this.app.draw();
  }

  tellUnsaved() { element("save-regions").disabled = this.regionsSaved && this.numbersSaved; }

  /* The regions; a name that is being typed goes on. */
  cards() {
    const { activeElement } = document, typed = this.regions.find(({ input }) => input && input === activeElement);
    const marks = typed && [activeElement.selectionStart, activeElement.selectionEnd];
    element("region-list").replaceChildren(...this.regions.map((region, i) => this.card(region, i)).reverse());
    typed?.input.focus({ preventScroll: true });
    typed?.input.setSelectionRange(...marks);
  }

  card(region, i) {
    const name = region.input = make("input", { value: region.name, title: "Name", readOnly: source.exported });
    const remove = make("button", { textContent: "×", title: "Remove", hidden: source.exported });
    name.oninput = () => { region.name = name.value; this.tellUnsaved(); };
    name.onkeydown = ({ key }) => { if (key === "Enter") name.blur(); };
    remove.onclick = (event) => {
      event.stopPropagation();
      this.former.push([...this.regions]);
      this.regions.splice(i, 1);
      this.region = -1;
      this.list();
    };
    const { found } = region, area = found && (found.area_mm2 !== null ? `${short(found.area_mm2)} mm²` : `${short(found.area_px)} px²`);
    const title = make("div", { className: "title" }, [name, make("span", { textContent: area ?? "" }), remove]);
    const card = make("div", { className: i === this.region ? "card chosen" : "card" }, [title]);
    card.append(found ? numbersTable(found) : source.exported ? savedTable(region.saved) : make("p", { textContent: region.error ?? "" }));
    card.onclick = () => {
      const points = region.geometry.coordinates.flat(region.geometry.type === "Polygon" ? 1 : 2);
      const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
      this.region = i;
      this.app.camera.show([Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)]);
      for (const other of card.parentElement.children) other.classList.toggle("chosen", other === card);
      this.app.draw();
    };
    return card;
  }

  draw(context, camera) {
    const ring = (points, colour, width, fill) => {
      context.beginPath();
      trace(context, camera, points);
      context.lineWidth = width + 2;
      context.strokeStyle = "#fffc";
      context.stroke();
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
      if (fill) { context.fillStyle = fill; context.fill(); }
    };
    this.regions.forEach((region, i) => {
      const polygons = region.geometry.type === "Polygon" ? [region.geometry.coordinates] : region.geometry.coordinates;
      for (const rings of polygons) for (const one of rings) ring(one, "#b26a00", i === this.region ? 3 : 2);
    });
    if (this.app.tool === "correct") {
      const [x, y, w, h] = this.frame, corners = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]];
      context.setLineDash([7, 5]);
      ring(corners, "#3451b2", 1.5);
      context.setLineDash([]);
    }
    if (this.pending) ring(this.pending.coordinates[0], "#3451b2", 2, "#3451b222");
    if (this.points) ring(this.points, this.app.tool === "region" ? "#b26a00" : "#3451b2", 2, "#3451b21a");
  }
}
