"use strict";
/* Draws what is seen: tiles of the image and of the tissue, nuclei as points from afar and as outlines from close. */

const OUTLINE_PX = 10; // from this size of a usual nucleus on the screen on, outlines are drawn
const NUCLEUS_UM = 8;
const TILES_KEPT = 100;
const LOADING = 8; // tiles at a time

class TileLayer {
  constructor(about, pathOf, redraw, failed, coarser = 0) {
    this.coarser = coarser; // levels above that of the screen's pixels
    this.failed = failed; // told the address that did not come
    this.about = about;
    this.pathOf = pathOf; // (level, column, row) => address
    this.redraw = redraw;
    this.tiles = new Map();
    this.wanted = [];
    this.loading = 0;
  }

  draw(context, camera, ratio) {
    const { tile, levels, size } = this.about, box = camera.box;
    const best = clamp(Math.round(-Math.log2(camera.scale * ratio)) + this.coarser, this.about.finest ?? 0, levels - 1);
    this.wanted = [];
    const missing = this.tilesOf(best, box).some((key) => !this.tiles.get(key)?.ready);
    for (let level = missing ? levels - 1 : best; level >= best; level--) {
      const side = tile * 2 ** level;
      for (const key of this.tilesOf(level, box)) {
        const [, column, row] = key.split("/").map(Number), found = this.tiles.get(key);
        if (!found) { if (level === best || level === levels - 1) this.wanted.push(key); continue; }
        this.tiles.delete(key); // most recently used ones are at the end
        this.tiles.set(key, found);
        if (!found.ready || found.empty) continue;
        const left = column * side, top = row * side;
        const [x0, y0] = camera.toScreen(left, top).map((v) => Math.round(v * ratio) / ratio);
        const [x1, y1] = camera.toScreen(Math.min(left + side, size[0]), Math.min(top + side, size[1]))
          .map((v) => Math.round(v * ratio) / ratio);
        context.imageSmoothingEnabled = camera.scale * ratio * 2 ** level < 3;
        context.drawImage(found.picture, x0, y0, x1 - x0, y1 - y0);
      }
    }
    this.load();
    return !missing;
  }

  tilesOf(level, [left, top, right, bottom]) {
    const { tile, size } = this.about, side = tile * 2 ** level, keys = [];
    const last = Math.min(Math.ceil(size[0] / side) - 1, Math.floor(right / side));
    const lowest = Math.min(Math.ceil(size[1] / side) - 1, Math.floor(bottom / side));
    for (let row = Math.max(0, Math.floor(top / side)); row <= lowest; row++) {
      for (let column = Math.max(0, Math.floor(left / side)); column <= last; column++) keys.push(`${level}/${column}/${row}`);
    }
    return keys;
  }

  load() {
    while (this.loading < LOADING && this.wanted.length) {
      const key = this.wanted.shift();
      if (this.tiles.has(key)) continue;
      const found = { picture: new Image(), ready: false, empty: false };
      this.tiles.set(key, found);
      this.loading++;
      const done = (empty) => {
        this.loading--;
        found.ready = true;
        found.empty = empty;
        this.load(); // the next one need not wait for a drawing
        this.redraw();
      };
      found.picture.onload = () => done(found.picture.width < 2); // decoded when it is drawn, once
      found.picture.onerror = () => {
        done(true); // an empty tile of an exported page; a server that is busy is asked again
        if (source.exported) return;
        this.failed(this.pathOf(...key.split("/")));
        setTimeout(() => { this.tiles.delete(key); this.redraw(); }, 2000);
      };
      found.picture.src = source.url(this.pathOf(...key.split("/")));
    }
    for (const [key, found] of this.tiles) {
      if (this.tiles.size <= TILES_KEPT) break;
      if (found.ready) this.tiles.delete(key);
    }
  }
}

class Painter {
  constructor(canvas, about, base, nuclei, redraw, failed) {
    const arrived = () => this.arrived();
    Object.assign(this, { canvas, about, nuclei, redraw });
    this.context = canvas.getContext("2d", { alpha: false });
    this.points = document.createElement("canvas");
    this.layer = document.createElement("canvas");
    this.image = about.image && new TileLayer(about, (level, c, r) => `${base}/tiles/${level}/${c}_${r}.jpg`, arrived, failed);
    this.tissue = new Map(); // layers of tiles by the classes in them
    this.tissueLayer = (classes) => {
      if (!this.tissue.has(classes)) this.tissue.set(classes, new TileLayer(
        about, (level, c, r) => `${base}/tissue/${classes}/${level}/${c}_${r}.png`, arrived, failed, 1));
      return this.tissue.get(classes);
    };
    this.opacity = { image: 1, tissue: 0.7, nuclei: 0.8 };
    this.shows = { image: true, tissue: true, nuclei: true };
    this.hiddenTissue = new Set();
    this.chosen = -1;
    this.timer = null;
    this.took = 0;
  }

  /* Something came that is seen. What comes together is drawn together: drawing is what takes longest. */
  arrived() {
    const awaited = [this.image, ...this.tissue.values()].some((layer) => layer && (layer.loading || layer.wanted.length));
    if (!awaited && !this.nuclei.loading) { clearTimeout(this.timer); this.timer = null; this.redraw(); }
    else this.timer ??= setTimeout(() => { this.timer = null; this.redraw(); }, clamp(3 * this.took, 30, 250));
  }

  draw(camera, drawings) {
    const start = performance.now();
    this.paint(camera, drawings);
    this.took = performance.now() - start; // ms
  }

  paint(camera, drawings) {
    const ratio = window.devicePixelRatio || 1, { context, canvas } = this;
    const width = Math.round(camera.width * ratio), height = Math.round(camera.height * ratio);
    for (const one of [canvas, this.points, this.layer]) if (one.width !== width || one.height !== height) {
      one.width = width;
      one.height = height;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = "#e9eaee";
    context.fillRect(0, 0, camera.width, camera.height);
    const [x, y] = camera.toScreen(0, 0);
    context.fillStyle = "#fff";
    context.fillRect(x, y, this.about.size[0] * camera.scale, this.about.size[1] * camera.scale);
    this.complete = true;
    if (this.image && this.shows.image) {
      context.globalAlpha = this.opacity.image;
      this.complete = this.image.draw(context, camera, ratio);
      context.globalAlpha = 1;
    }
    if (this.shows.tissue) this.drawTissue(camera, ratio);
    if (this.shows.nuclei && this.nuclei.colours) this.drawNuclei(camera, ratio);
    drawings(context, camera);
  }

  /* Tissue lies on a layer of its own: boxes of corrections are cut out of it and filled with their own regions. */
  drawTissue(camera, ratio) {
    const context = this.layer.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, camera.width, camera.height);
    const shown = this.about.tissue_classes.map((_, i) => i).filter((i) => i && !this.hiddenTissue.has(i));
    const kinds = source.exported ? shown : shown.length ? [shown.join("-")] : []; // an exported page has a tile for each
    for (const kind of kinds) this.complete = this.tissueLayer(kind).draw(context, camera, ratio) && this.complete;
    const colours = paletteOf(this.about.tissue_classes);
    for (const patch of this.nuclei.shown) {
      const [left, top] = camera.toScreen(patch.box[0], patch.box[1]);
      const [width, height] = [patch.box[2] * camera.scale, patch.box[3] * camera.scale];
      context.clearRect(left, top, width, height);
      context.save();
      context.beginPath();
      context.rect(left, top, width, height);
      context.clip();
      for (const [type, rings] of patch.regions) {
        if (this.hiddenTissue.has(type)) continue;
        context.beginPath();
        for (const ring of rings) trace(context, camera, ring);
        context.fillStyle = cssOf(colours[type], 0.25);
        context.strokeStyle = cssOf(colours[type]);
        context.lineWidth = 2.4; // half of it, for each border lies inside its own region, as in tiles
        if (this.about.tissue_classes[type].tinted) context.fill("evenodd");
        context.save();
        context.clip("evenodd");
        context.stroke();
        context.restore();
      }
      context.restore();
    }
    this.context.globalAlpha = this.opacity.tissue;
    this.context.drawImage(this.layer, 0, 0, camera.width, camera.height);
    this.context.globalAlpha = 1;
  }

  /* Nuclei lie on a layer of their own, which stays while tiles arrive. */
  drawNuclei(camera, ratio) {
    const { nuclei, context } = this, size = NUCLEUS_UM / (this.about.mpp ?? 0.25) * camera.scale;
    const { x, y, scale, width, height } = camera, close = size >= OUTLINE_PX;
    const state = [x, y, scale, width, height, ratio, this.opacity.nuclei, nuclei.version, close && nuclei.came].join();
    if (state !== this.drawn) {
      this.drawn = state;
      this.pending = false;
      if (close) this.drawOutlines(camera, ratio, size);
      else this.drawPoints(camera, ratio, nuclei.cellsIn(camera.box, 8), Math.max(1, Math.round(size * ratio * 0.6)));
    }
    if (this.pending) this.complete = false;
    context.globalAlpha = close ? 1 : this.opacity.nuclei;
    context.drawImage(this.points, 0, 0, width, height);
    context.globalAlpha = 1;
    if (this.chosen >= 0) this.drawChosen(camera, size);
  }

  /* Squares of `side` device pixels, written straight into a picture. */
  drawPoints(camera, ratio, cells, side) {
    const { points, nuclei } = this, { xy, colours, starts, byCell } = nuclei;
    const context = points.getContext("2d"), width = points.width, height = points.height;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!cells.length) return;
    if (this.pixels?.width !== width || this.pixels?.height !== height) this.pixels = context.createImageData(width, height);
    const into = new Uint32Array(this.pixels.data.buffer), scale = camera.scale * ratio, half = (side - 1) / 2;
    into.fill(0);
    const [left, top] = camera.toImage(0, 0);
    for (const cell of cells) {
      for (let j = starts[cell]; j < starts[cell + 1]; j++) {
        const i = byCell[j], colour = colours[i];
        if (!colour) continue;
        const x = Math.floor((xy[2 * i] - left) * scale - half), y = Math.floor((xy[2 * i + 1] - top) * scale - half);
        if (x < 0 || y < 0 || x + side > width || y + side > height) continue;
        if (side === 1) into[y * width + x] = colour;
        else for (let row = y; row < y + side; row++) into.fill(colour, row * width + x, row * width + x + side);
      }
    }
    context.putImageData(this.pixels, 0, 0);
  }

  /* One path for each nucleus: a path of thousands takes the browser many times as long. */
  drawOutlines(camera, ratio, size) {
    const { nuclei } = this, context = this.points.getContext("2d"), pending = [], found = [];
    for (const cell of nuclei.cellsIn(camera.box, 40)) {
      const outlines = nuclei.outlines(cell, () => this.arrived());
      if (outlines) found.push(outlines); else pending.push(cell);
    }
    this.drawPoints(camera, ratio, pending, Math.round(size * ratio * 0.6));
    this.pending = pending.length > 0;
    const { scale } = camera, [left, top, right, bottom] = camera.box, { fill, edge } = this.inks();
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.lineWidth = size < 14 ? 1 : 1.5;
    let last = 0;
    const draw = (colour, points, from, to) => {
      const x0 = points[2 * from], y0 = points[2 * from + 1], margin = 400;
      if (!colour || x0 < left - margin || x0 > right + margin || y0 < top - margin || y0 > bottom + margin) return;
      if (colour !== last) { context.fillStyle = fill(colour); context.strokeStyle = edge(colour); last = colour; }
      context.beginPath();
      for (let j = from; j < to; j++) context.lineTo((points[2 * j] - left) * scale, (points[2 * j + 1] - top) * scale);
      context.closePath();
      context.fill();
      context.stroke();
    };
    nuclei.eachOutline(found, (row, points, from, to) => draw(nuclei.colours[row], points, from, to));
  }

  /* Inks of inside and edge by colour; each is put into words once. */
  inks() {
    const remembered = (alpha, words = new Map()) => (colour) => {
      if (!words.has(colour)) words.set(colour, cssOf(colour, alpha));
      return words.get(colour);
    };
    return { fill: remembered(this.opacity.nuclei * 0.2), edge: remembered(Math.min(1, this.opacity.nuclei * 1.2)) };
  }

  drawChosen(camera, size) {
    const { xy } = this.nuclei, [x, y] = camera.toScreen(xy[2 * this.chosen], xy[2 * this.chosen + 1]);
    for (const [colour, width] of [["#000", 4], ["#fff", 2]]) {
      this.context.beginPath();
      this.context.arc(x, y, Math.max(9, size), 0, 2 * Math.PI);
      this.context.strokeStyle = colour;
      this.context.lineWidth = width;
      this.context.stroke();
    }
  }
}

function trace(context, camera, ring) {
  ring.forEach(([x, y], i) => {
    const place = camera.toScreen(x, y);
    if (i) context.lineTo(...place); else context.moveTo(...place);
  });
  context.closePath();
}
