"""Compares two reports image by image: is one better than the other, and how sure is that?"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coseg_bundle.data.images import composed
from coseg_bundle.evaluation.counts import DISTANCES


@dataclass(frozen=True)
class Difference:
    """One score of two reports, over the images where both have it.

    Attributes:
        name: The score.
        images: Number of images.
        mean_a: Its mean in report A.
        mean_b: Its mean in report B.
        difference: Mean of B - A.
        low: Lower end of the 95 % bootstrap interval of the difference; NaN for a single image.
        high: Upper end.
        p_value: Wilcoxon signed-rank test, two-sided; NaN where it is undefined (fewer than two images that differ).
        differing: Images whose two scores differ; only those tell the test something.
    """

    name: str
    images: int
    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    p_value: float
    differing: int = 0

    @property
    def least_p(self) -> float:
        """The least p-value that so many images can give: all of them in favour of one report, 2 of 2^n outcomes."""
        return float(min(1.0, 2.0 ** (1 - self.differing)))


ENOUGH = 6
"""Images that must differ before a p-value can be below 0.05."""


def read_per_image(path: Path) -> dict[str, dict[str, float]]:
    """Scores by image of a `report.json` (or of the folder that holds it); names are `composed`.

    Raises:
        ValueError: The file is missing or no report, or two of its images have one name.
    """
    path = _file(path)
    if not path.is_file():
        raise ValueError(f"{path} not found; `coseg evaluate` writes report.json.")
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["per_image"]
        named = [(composed(image), row) for image, row in rows.items()]  # former reports kept a Mac's spelling
        scores = {image: {k: _number(v) for k, v in row.items() if v is not None} for image, row in named}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        reason = error if str(error) else type(error).__name__
        raise ValueError(f"{path} is no report of `coseg evaluate` ({reason}).") from error
    if twice := [image for image, number in Counter(image for image, _ in named).items() if number > 1]:
        raise ValueError(
            f"{path} has two images that are both called {twice[0]}; evaluate again, which tells them apart."
        )
    endless = [f"{image}: {k}" for image, row in scores.items() for k, v in row.items() if not math.isfinite(v)]
    if endless:
        raise ValueError(
            f"{path} holds scores that are no finite numbers ({len(endless)}, first {endless[0]}); expected null where "
            "there is nothing to score: evaluate again."
        )
    return scores


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected numbers as scores, got {value!r}")
    return float(value)


def compare(path_a: Path, path_b: Path, seed: int = 0, resamples: int = 9999) -> list[Difference]:
    """Paired differences of every score that both reports have, in one unit as far as they say.

    Args:
        path_a: A `report.json` or its folder.
        path_b: Another, on the same images.
        seed: Seed of the bootstrap.
        resamples: Bootstrap samples.

    Raises:
        ValueError: A file is no report, or the reports share no image.
    """
    a, b = read_per_image(path_a), read_per_image(path_b)
    shared = [image for image in a if image in b]
    if not shared:
        raise ValueError(f"{path_a} and {path_b} share no image; compare reports on the same datalist.")
    names = dict.fromkeys(name for image in shared for name in a[image] if name in b[image])
    if not _one_unit(path_a, path_b):
        names = {name: None for name in names if name not in DISTANCES}
    differences = []
    for name in names:
        pairs = np.array([(a[i][name], b[i][name]) for i in shared if name in a[i] and name in b[i]])
        delta = pairs[:, 1] - pairs[:, 0]
        low, high = _bootstrap(delta, seed, resamples)
        mean_a, mean_b = (float(column.mean()) for column in pairs.T)
        differences.append(
            Difference(
                name,
                len(pairs),
                mean_a,
                mean_b,
                float(delta.mean()),
                low,
                high,
                _wilcoxon(delta),
                int(np.count_nonzero(delta)),
            )
        )
    return differences


def left_out(path_a: Path, path_b: Path) -> list[str]:
    """Sentences on what `compare` leaves out of two reports, and on networks that found nothing.

    Raises:
        ValueError: A file is no report.
    """
    a, b = read_per_image(path_a), read_per_image(path_b)
    sentences = []
    for name, path, one, other in (("A", path_a, a, b), ("B", path_b, b, a)):
        if images := [image for image in one if image not in other]:
            sentences.append(f"Images only in {name}, not compared: {_listed(images)}.")
        theirs = {score for row in other.values() for score in row}
        if scores := [s for s in dict.fromkeys(s for row in one.values() for s in row) if s not in theirs]:
            sentences.append(f"Scores only in {name}, not compared: {_listed(scores)}.")
        if empty := _none_found(path):
            sentences.append(f"{name} found no nuclei at all in {len(empty)} images: {_listed(empty)}.")
    both = [name for name in DISTANCES if all(any(name in row for row in one.values()) for one in (a, b))]
    if both and not _one_unit(path_a, path_b):
        of_a, of_b = (_said(path, "distances") or "pixels that it does not name" for path in (path_a, path_b))
        sentences.append(f"Not compared: {_listed(both)}, in A in {of_a}, in B in {of_b}; evaluate again.")
    return sentences


def _one_unit(path_a: Path, path_b: Path) -> bool:
    """Whether both reports say what distances are in, and it is the same; former reports do not say it."""
    return _said(path_a, "distances") == _said(path_b, "distances") is not None


def _said(path: Path, what: str) -> Any:
    return json.loads(_file(path).read_text(encoding="utf-8")).get(what)


def _file(path: Path) -> Path:
    return path / "report.json" if path.is_dir() else path


def _none_found(path: Path) -> list[str]:
    found = _said(path, "none_found")
    return [str(image) for image in found] if isinstance(found, list) else []


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def format_differences(differences: Sequence[Difference]) -> str:
    """A table to print, one line a score, and what so few images cannot say."""
    lines = [f"{'score':<24}{'images':>7}{'A':>10}{'B':>10}{'B - A':>10}{'95 % interval':>24}{'p':>10}"]
    for row in differences:
        interval = f"[{row.low:+.4f}, {row.high:+.4f}]" if row.images > 1 else "-"
        p = f"{row.p_value:.2g}" if row.differing > 1 else "-"
        numbers = f"{row.images:>7}{row.mean_a:>10.4f}{row.mean_b:>10.4f}{row.difference:>+10.4f}"
        lines.append(f"{row.name:<24}{numbers}{interval:>24}{p:>10}")
    for few in sorted({row.differing for row in differences if 0 < row.differing < ENOUGH}):
        names = [row.name for row in differences if row.differing == few]
        least = next(row.least_p for row in differences if row.differing == few)
        lines.append(
            f"p: {few} images that differ can give no p below {least:.2g} ({_listed(names, 4)}); {ENOUGH} can give one "
            "below 0.05."
        )
    return "\n".join(lines)


def _bootstrap(delta: np.ndarray, seed: int, resamples: int) -> tuple[float, float]:
    if len(delta) < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(delta), (resamples, len(delta)))
    low, high = np.percentile(delta[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _wilcoxon(delta: np.ndarray) -> float:
    from scipy.stats import wilcoxon

    return float(wilcoxon(delta).pvalue) if np.count_nonzero(delta) > 1 else float("nan")
