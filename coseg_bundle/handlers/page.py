"""The page of a training as one HTML text: an SVG curve, a table, pictures inside it."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from coseg_bundle import keys
from coseg_bundle.classes import UNLABELLED, ClassMap
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.writers.overlay import draw_overlay

PART_PX = 512
"""Side of the part of an image that is shown."""

_LINES = (
    ("nuclei_pq", "nuclei PQ", "#1f6fb4"),
    ("nuclei_mpq", "nuclei PQ, mean of classes", "#7a3db8"),
    ("tissue_dice", "tissue Dice", "#118a5b"),
)
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 760, 300, 40, 30

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1080px; padding: 0 1rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
figure { margin: 1.5rem 0 } figure div { display: flex; gap: 8px } figure img { width: calc(50% - 4px) }
figcaption, .note { color: #555 } .key { display: inline-block; margin-right: 1rem }
.key i { display: inline-block; width: .9em; height: .9em; margin-right: .3em; vertical-align: -.1em }
"""


@dataclass(frozen=True)
class Tile:
    """A validation image with what is true of it and what was predicted.

    Attributes:
        name: Of the image.
        rgb: `(H, W, 3)` uint8.
        truth: The labels `(H, W)` by the names of `keys.LABELS`.
        predicted: The maps `(H, W)` by the same names.
        scores: By name.
    """

    name: str
    rgb: NDArray[np.uint8]
    truth: Mapping[str, NDArray[Any]]
    predicted: Mapping[str, NDArray[Any]]
    scores: Mapping[str, float]

    def worst_part(self, side: int = PART_PX) -> Tile:
        """The square in which most labelled pixels differ."""
        wrong = np.zeros(self.rgb.shape[:2], np.float32)
        if keys.INSTANCES in self.truth:
            truth = self.truth[keys.INSTANCES]
            wrong += (truth >= 0) & ((truth > 0) != (self.predicted[keys.INSTANCES] > 0))
        if keys.TISSUE in self.truth:
            tissue = self.truth[keys.TISSUE]
            wrong += (tissue != UNLABELLED) & (tissue != self.predicted[keys.TISSUE])
        sums = np.pad(wrong, ((1, 0), (1, 0))).cumsum(0, np.float64).cumsum(1)
        height, width = np.minimum(side, wrong.shape).tolist()
        inside = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        part = np.s_[y : y + height, x : x + width]
        cut = {name: np.ascontiguousarray(label[part]) for name, label in self.truth.items()}
        found = {name: np.ascontiguousarray(label[part]) for name, label in self.predicted.items()}
        return replace(self, rgb=np.ascontiguousarray(self.rgb[part]), truth=cut, predicted=found)


def page(
    title: str,
    history: Sequence[Mapping[str, Any]],
    steps: int,
    tiles: Sequence[Tile],
    tissue_classes: Sequence[str],
    nuclei_classes: Sequence[str],
) -> str:
    """The page.

    Args:
        title: Of the training.
        history: Rows of `progress.json`, at least one.
        steps: Steps of the whole training; 0 where nobody knows.
        tiles: What is shown, the worst first.
        tissue_classes: Tissue class names, background first.
        nuclei_classes: Nuclei class names, background first.
    """
    last = history[-1]
    of = f" of {steps}" if steps else ""
    done = f"step {last['step']}{of}, after {last['seconds'] / 60:.1f} minutes"
    classes = ClassMap(tissue_classes), ClassMap(nuclei_classes)
    shown = [
        kind
        for kind, key in zip(classes, (keys.TISSUE, keys.INSTANCES), strict=True)
        if any(key in t.truth for t in tiles)
    ]
    figures = "".join(_figure(tile, *classes) for tile in tiles)
    none = ""
    if last["none_found"]:
        none = f"<p><b>Found no nuclei at all in {len(last['none_found'])} images that have some.</b></p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{html.escape(title)}</h1>"
        f'<p class="note">Last validation: {done}. Written anew after each one: reload.</p>{none}'
        f"{_curve(history)}{_table(history)}"
        f"<h2>The worst validation images</h2><p>{_legend(shown)}</p>"
        f'<p class="note">Left what is true, right what is predicted: the part of the image where most differs.</p>'
        f"{figures}</body></html>\n"
    )


def _figure(tile: Tile, tissue_classes: ClassMap, nuclei_classes: ClassMap) -> str:
    sides = (_picture(tile.rgb, maps, tissue_classes, nuclei_classes) for maps in (tile.truth, tile.predicted))
    scores = [
        f"{label} {tile.scores[name]:.2f}" for name, label, _ in _LINES if not np.isnan(tile.scores.get(name, np.nan))
    ]
    images = "".join(f'<img src="data:image/jpeg;base64,{side}" alt="">' for side in sides)
    caption = html.escape(f"{tile.name}: {', '.join(scores)}")
    return f"<figure><div>{images}</div><figcaption>{caption}</figcaption></figure>"


def _picture(
    rgb: NDArray[np.uint8], maps: Mapping[str, NDArray[Any]], tissue_classes: ClassMap, nuclei_classes: ClassMap
) -> str:
    size = rgb.shape[:2]
    instances = np.maximum(maps.get(keys.INSTANCES, np.zeros(size)), 0).astype(np.int32)
    tissue = np.asarray(maps.get(keys.TISSUE, np.zeros(size))).astype(np.uint8)
    table = instance_table(instances)
    if keys.TYPES in maps and len(table):
        types = np.asarray(maps[keys.TYPES])
        known = np.zeros(int(instances.max()) + 1, np.uint8)
        valid = (types > 0) & (types < len(nuclei_classes))
        known[instances[valid]] = types[valid]
        table = replace(table, type_id=known[table.instance_id])
    shown = Prediction(instances, table, np.where(tissue < len(tissue_classes), tissue, 0).astype(np.uint8))
    drawn = draw_overlay(rgb, shown, tissue_classes, nuclei_classes)
    done, coded = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    return base64.b64encode(coded.tobytes()).decode()


def _legend(shown: Sequence[ClassMap]) -> str:
    entries = [
        _key(f"rgb{classes.colour_of(i)}", html.escape(classes.name_of(i)))
        for classes in reversed(shown)
        for i in range(1, len(classes))
    ]
    return "".join(entries)


def _key(colour: str, text: str) -> str:
    return f'<span class="key"><i style="background:{colour}"></i>{text}</span>'


def _curve(history: Sequence[Mapping[str, Any]]) -> str:
    """Scores over steps."""
    end = max(row["step"] for row in history) or 1
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = _y(share)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end" font-size="12">{share:g}</text>')
    parts.append(f'<text x="{_WIDTH}" y="{_HEIGHT - 6}" text-anchor="end" font-size="12">step {end}</text>')
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 6}" font-size="12">0</text>')
    key = []
    for name, label, colour in _LINES:
        known = [(row["step"], row["mean"][name]) for row in history if row["mean"].get(name) is not None]
        if not known:
            continue
        points = [(round(_LEFT + (_WIDTH - _LEFT - 8) * step / end, 1), _y(value)) for step, value in known]
        line = " ".join(f"{x},{y}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in points]
        key.append(_key(colour, f"{label} {known[-1][1]:.3f}"))
    svg = f'<svg viewBox="0 0 {_WIDTH + 10} {_HEIGHT}" width="100%" role="img">{"".join(parts)}</svg>'
    return f"<p>{''.join(key)}</p>{svg}"


def _y(share: float) -> float:
    return round(10 + (_HEIGHT - _BOTTOM - 10) * (1 - share), 1)


def _table(history: Sequence[Mapping[str, Any]], rows: int = 12) -> str:
    """The last validations, and F1 of each class of nuclei."""
    names = [name for name, _, _ in _LINES if any(row["mean"].get(name) is not None for row in history)]
    labels = {name: label for name, label, _ in _LINES}
    classes = [name for name in history[-1]["pooled"] if name.startswith("nuclei_f1_")]
    heads = ["step", "minutes", *(labels[name] for name in names)]
    heads += [f"F1 {name.removeprefix('nuclei_f1_')}" for name in classes]
    lines = ["".join(f"<th>{html.escape(head)}</th>" for head in heads)]
    for row in history[-rows:]:
        values = [row["mean"].get(name) for name in names] + [row["pooled"].get(name) for name in classes]
        cells = [str(row["step"]), f"{row['seconds'] / 60:.1f}"]
        cells += ["-" if value is None else f"{value:.3f}" for value in values]
        lines.append("".join(f"<td>{cell}</td>" for cell in cells))
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
