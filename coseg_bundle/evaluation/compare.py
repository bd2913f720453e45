"""Compares two reports image by image: is one better than the other, and how sure is that?"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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
        only_a: Scores of the images where B has none, which are in no number above.
        only_b: Scores of those where A has none: where a network rightly finds nothing, another may find what is not
            there, and has 0.
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
    only_a: tuple[float, ...] = ()
    only_b: tuple[float, ...] = ()

    @property
    def least_p(self) -> float:
        """The least p-value that so many images can give: all of them in favour of one report, 2 of 2^n outcomes."""
        return float(min(1.0, 2.0 ** (1 - self.differing)))


ENOUGH = 6
"""Images that must differ before a p-value can be below 0.05."""


@dataclass(frozen=True)
class SavedReport:
    """A `report.json`, read.

    Attributes:
        path: The file.
        scores: Scores by image; names are `composed`.
        labels: Checksums of each image's labels (`label_checksums`); former reports have none.
        distances: What distances are in; None in former reports.
        none_found: Images with labelled nuclei in which none was found.
    """

    path: Path
    scores: dict[str, dict[str, float]]
    labels: dict[str, dict[str, str]]
    distances: str | None
    none_found: tuple[str, ...]


def read_report(path: Path) -> SavedReport:
    """Reads a `report.json`, or that of a folder.

    Raises:
        ValueError: The file is missing or no report, or two of its images have one name.
    """
    path = path / "report.json" if path.is_dir() else path
    if not path.is_file():
        raise ValueError(f"{path} not found; `coseg evaluate` writes report.json.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        named = [(composed(image), row) for image, row in content["per_image"].items()]  # former: a Mac's spelling
        scores = {image: {k: _number(v) for k, v in row.items() if v is not None} for image, row in named}
        labels = {composed(image): dict(sums) for image, sums in content.get("labels", {}).items()}
        none_found = tuple(map(str, content.get("none_found", ())))
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
    return SavedReport(path, scores, labels, content.get("distances"), none_found)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"expected numbers as scores, got {value!r}")
    return float(value)


def compare(a: SavedReport, b: SavedReport, seed: int = 0, resamples: int = 9999) -> list[Difference]:
    """Paired differences of every score that both reports have, on the same labels and in one unit as far as they say.

    Args:
        a: A report.
        b: Another, on the same images.
        seed: Seed of the bootstrap.
        resamples: Bootstrap samples.

    Raises:
        ValueError: The reports share no image, or none with the same labels.
    """
    if not a.scores.keys() & b.scores.keys():
        raise ValueError(f"{a.path} and {b.path} share no image; compare reports on the same datalist.")
    other = set(_of_other_labels(a, b))
    shared = [image for image in a.scores if image in b.scores and image not in other]
    if not shared:
        raise ValueError(
            f"{a.path} and {b.path} were scored on different labels, image by image; evaluate both again on the same "
            "datalist."
        )
    rows = [(a.scores[image], b.scores[image]) for image in shared]
    of_b = {name for _, row in rows for name in row}
    names = dict.fromkeys(name for row, _ in rows for name in row if name in of_b)
    if not _one_unit(a, b):
        names = {name: None for name in names if name not in DISTANCES}
    return [_difference(name, rows, seed, resamples) for name in names]


def _difference(
    name: str, rows: Sequence[tuple[dict[str, float], dict[str, float]]], seed: int, resamples: int
) -> Difference:
    """One score of the images of both reports."""
    pairs = np.array([(one[name], two[name]) for one, two in rows if name in one and name in two]).reshape(-1, 2)
    delta = pairs[:, 1] - pairs[:, 0]
    low, high = _bootstrap(delta, seed, resamples)
    columns = (*pairs.T, delta)
    mean_a, mean_b, difference = (float(values.mean()) if len(values) else float("nan") for values in columns)
    return Difference(
        name,
        len(pairs),
        mean_a,
        mean_b,
        difference,
        low,
        high,
        _wilcoxon(delta),
        int(np.count_nonzero(delta)),
        tuple(one[name] for one, two in rows if name in one and name not in two),
        tuple(two[name] for one, two in rows if name in two and name not in one),
    )


def left_out(a: SavedReport, b: SavedReport) -> list[str]:
    """Sentences on what `compare` leaves out of two reports or cannot know, and on networks that found nothing."""
    sentences = []
    for name, one, other in (("A", a, b), ("B", b, a)):
        if images := [image for image in one.scores if image not in other.scores]:
            sentences.append(f"Images only in {name}, not compared: {_listed(images)}.")
        theirs = {score for row in other.scores.values() for score in row}
        if scores := [s for s in dict.fromkeys(s for row in one.scores.values() for s in row) if s not in theirs]:
            sentences.append(f"Scores only in {name}, not compared: {_listed(scores)}.")
        if one.none_found:
            sentences.append(
                f"{name} found no nuclei at all in {len(one.none_found)} images: {_listed(one.none_found)}."
            )
    if images := _of_other_labels(a, b):
        sentences.append(f"Images whose labels differ, not compared: {_listed(images)}; evaluate both again.")
    if silent := [name for name, one in (("A", a), ("B", b)) if not one.labels]:
        sentences.append(
            f"Which labels were scored in {' and '.join(silent)} is not known, so they may differ; evaluate again."
        )
    both = [name for name in DISTANCES if all(any(name in row for row in one.scores.values()) for one in (a, b))]
    if both and not _one_unit(a, b):
        of_a, of_b = (one.distances or "pixels that it does not name" for one in (a, b))
        sentences.append(f"Not compared: {_listed(both)}, in A in {of_a}, in B in {of_b}; evaluate again.")
    return sentences


def _of_other_labels(a: SavedReport, b: SavedReport) -> list[str]:
    """Images whose labels are known to differ: a kind that both were scored on has another checksum."""
    shared = [image for image in a.labels if image in b.labels and image in a.scores and image in b.scores]
    return [
        image
        for image in shared
        if any(b.labels[image].get(kind, checksum) != checksum for kind, checksum in a.labels[image].items())
    ]


def _one_unit(a: SavedReport, b: SavedReport) -> bool:
    """Whether both reports say what distances are in, and it is the same; former reports do not say it."""
    return a.distances == b.distances is not None


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def format_differences(differences: Sequence[Difference]) -> str:
    """A table to print, one line a score, and what so few images cannot say."""
    lines = [f"{'score':<24}{'images':>7}{'A':>10}{'B':>10}{'B - A':>10}{'95 % interval':>24}{'p':>10}"]
    for row in differences:
        interval = f"[{row.low:+.4f}, {row.high:+.4f}]" if row.images > 1 else "-"
        p = f"{row.p_value:.2g}" if row.differing > 1 else "-"
        images = f"{row.images}{'*' if row.only_a or row.only_b else ''}"
        numbers = f"{row.mean_a:>10.4f}{row.mean_b:>10.4f}{row.difference:>+10.4f}" if row.images else f"{'-':>10}" * 3
        lines.append(f"{row.name:<24}{images:>7}{numbers}{interval:>24}{p:>10}")
    lines += _one_sided(differences)
    for few in sorted({row.differing for row in differences if 0 < row.differing < ENOUGH}):
        names = [row.name for row in differences if row.differing == few]
        least = next(row.least_p for row in differences if row.differing == few)
        lines.append(
            f"p: {few} images that differ can give no p below {least:.2g} ({_listed(names, 4)}); {ENOUGH} can give one "
            "below 0.05."
        )
    return "\n".join(lines)


def _one_sided(differences: Sequence[Difference]) -> list[str]:
    """On images where one report has a score and the other none: there is no difference to count, and it may be all."""
    names: dict[str, list[str]] = {}
    for row in differences:
        for report, values in (("A", row.only_a), ("B", row.only_b)):
            if values:
                said = f"{len(values)} images only in {report}, mean {np.mean(values):.4f}"
                names.setdefault(said, []).append(row.name)
    return [f"* {said}, in no number above: {_listed(of_scores)}." for said, of_scores in names.items()]


def _bootstrap(delta: np.ndarray, seed: int, resamples: int) -> tuple[float, float]:
    if len(delta) < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(0, len(delta), (resamples, len(delta)))
    low, high = np.percentile(delta[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def _wilcoxon(delta: np.ndarray) -> float:
    """Of the images that differ alone: where others are among them SciPy may take the normal distribution of many."""
    from scipy.stats import wilcoxon

    differing = delta[delta != 0]
    return float(wilcoxon(differing).pvalue) if len(differing) > 1 else float("nan")
