"use strict";
/* What part of the image is seen. Image coordinates are pixels of level 0, screen coordinates CSS pixels. */

class Camera {
  constructor(size) {
    [this.imageWidth, this.imageHeight] = size;
    this.x = this.imageWidth / 2; // image point in the middle of the screen
    this.y = this.imageHeight / 2;
    this.scale = 1; // CSS pixels per pixel of the image
    this.width = this.height = 1;
  }

  resize(width, height) { this.width = width; this.height = height; }

  get whole() { return 0.95 * Math.min(this.width / this.imageWidth, this.height / this.imageHeight); }

  fit() { this.x = this.imageWidth / 2; this.y = this.imageHeight / 2; this.scale = this.whole; }

  toScreen(x, y) { return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2]; }

  toImage(x, y) { return [(x - this.width / 2) / this.scale + this.x, (y - this.height / 2) / this.scale + this.y]; }

  /* Left, top, right and bottom of what is seen, image pixels. */
  get box() { return [...this.toImage(0, 0), ...this.toImage(this.width, this.height)]; }

  move(dx, dy) {
    this.x = clamp(this.x - dx / this.scale, 0, this.imageWidth);
    this.y = clamp(this.y - dy / this.scale, 0, this.imageHeight);
  }

  zoom(factor, screenX = this.width / 2, screenY = this.height / 2) {
    const [x, y] = this.toImage(screenX, screenY);
    this.scale = clamp(this.scale * factor, Math.min(this.whole / 2, 1), 16);
    this.x = clamp(x - (screenX - this.width / 2) / this.scale, 0, this.imageWidth);
    this.y = clamp(y - (screenY - this.height / 2) / this.scale, 0, this.imageHeight);
  }

  /* Goes to a point, at a scale or at a closer one. */
  goto(x, y, scale = 0) { this.x = x; this.y = y; this.scale = clamp(Math.max(this.scale, scale), 0, 16); }

  show([left, top, right, bottom]) {
    const scale = 0.7 * Math.min(this.width / Math.max(right - left, 1), this.height / Math.max(bottom - top, 1));
    this.x = (left + right) / 2;
    this.y = (top + bottom) / 2;
    this.scale = clamp(scale, this.whole / 2, 4);
  }
}

function clamp(value, low, high) { return Math.min(Math.max(value, low), high); }
