"""Which objects of a file are nuclei: files also hold regions, parents, and classes that QuPath itself ignores.

A detection or the nucleus of a cell is a nucleus. An annotation is one unless something speaks against it: its class
ends in `*` (QuPath's `PathClassTools.isIgnoredClass`), it has children, it surrounds others that are far smaller, or it
is much larger than the rest. Where detections are by far the most, an annotation of a class that none of them has is a
region of tissue, however small, also where none of them has a class, as QuPath's cell detection leaves them: who adds
nuclei that a model missed gives them the detections' classes, or none. In files that Co-Seg wrote all nuclei are
detections; files of former versions do not say that they are ours, but have a frame, `Region*`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.annotations import DETECTED, Annotations, Region, counted
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.objects import known_class
from coseg_bundle.data.polygons import paint

_SURROUNDS = 4
"""Times the median area of what it surrounds, and of all others, from which on an annotation is no nucleus. None of
PUMA's 97,193 nuclei is taken for a region by that."""

_LARGE_AMONG_DETECTIONS, _LARGE = 20, 60
"""Times the median area of the others. In PUMA's 205 regions of interest the largest nucleus has at most 18
times the median area."""

_CARRY = 4
"""Times as many detections as annotations of other classes, from which on these are tissue; as all annotations, where
detections have no classes."""

_NO_DETECTIONS_CLASS = "of a class that no detection has"
_TO_COUNT_THEM = "annotations of classes that no detection has count as tissue; make them detections if they are nuclei"

_LOOSE = {"annotation": 2.0, "detection": 4.0, "cell": 4.0}
"""From this ratio of convex hull to area on, the parts of an object lie apart: CellViT writes all nuclei of a class as
one annotation. Crumbs beside a nucleus (PUMA has them) reach 1.5, two lobes 1.8."""

REGION = "Region*"
"""The class of what a person puts around what was annotated, as our corrections do around what was corrected."""

_INSTANSEG = ({"Nuclei", "Cells"}, {"Nucleus", "Cell"})
"""The two classes of its outlines, in QuPath and in the GeoJSON of whole slides."""


@dataclass(frozen=True)
class Nuclei:
    """The nuclei of a file.

    Attributes:
        regions: One for each nucleus, in file order.
        notes: Sentences on what was left out, and on what was taken apart.
        frames: The `Region*` around what was annotated completely; none where the whole image was.
        ignored: The `Ignore*` that take a part out.
    """

    regions: tuple[Region, ...]
    notes: tuple[str, ...] = ()
    frames: tuple[Region, ...] = ()
    ignored: tuple[Region, ...] = ()

    def unlabelled(self, instances: NDArray[np.int32]) -> NDArray[np.bool_]:
        """Where the file says nothing: outside the frames, and in what is ignored, but for the nuclei there.

        A nucleus that lies in what is ignored by more than a half is unlabelled as a whole.

        Args:
            instances: `(H, W)` instance map of the nuclei, 0 where none is.

        Returns:
            `(H, W)` bool.
        """
        shape = (instances.shape[0], instances.shape[1])
        ignored = _covered(self.ignored, shape)
        pixels, pixels_in_it = np.bincount(instances.ravel()), np.bincount(instances[ignored])
        given_up = np.zeros(len(pixels), bool)
        given_up[: len(pixels_in_it)] = 2 * pixels_in_it > pixels[: len(pixels_in_it)]
        outside = ~_covered(self.frames, shape) if self.frames else False
        return np.where(instances == 0, ignored | outside, given_up[instances])


def is_region(name: str) -> bool:
    """Whether a class stands for what was annotated completely."""
    return name.lower().rstrip("*") in ("region", "roi", "annotated")


def is_ignored(name: str) -> bool:
    """Whether a class stands for what is to be left unlabelled."""
    return name.lower().rstrip("*") == "ignore"


def _covered(regions: Sequence[Region], shape: tuple[int, int]) -> NDArray[np.bool_]:
    return paint([region.rings_xy for region in regions], [1] * len(regions), shape)[0] == 1


def nuclei_of(annotations: Annotations) -> Nuclei:
    """Picks the nuclei.

    Raises:
        ImageFileError: There are objects, but no nuclei among them.
    """
    left_out: Counter[str] = Counter(annotations.left_out)
    frames: list[Region] = []
    ignored: list[Region] = []
    candidates: list[Region] = []
    taken_apart = 0
    regions, cells = _without_cells(annotations.regions)
    if cells:
        left_out["cells around nuclei"] += cells
    for region in regions:
        is_drawn = region.kind == "annotation"
        if region.name.endswith("*"):
            left_out[f"of class {region.name}"] += 1
            frames += [region] * is_region(region.name)
            ignored += [region] * is_ignored(region.name)
        elif region.has_children and is_drawn:
            left_out[_described(region, "with objects below it")] += 1
        elif is_drawn and annotations.is_ours:
            left_out[_described(region, "in a file of Co-Seg, whose nuclei are detections")] += 1
        elif _lies_apart(region):
            taken_apart += 1
            candidates += region.parts
        else:
            candidates.append(region)
    other_classes = partial(_of_other_classes, without_outline=_without_outline(annotations), framed=bool(frames))
    for reasons_of in (other_classes, _no_nuclei):
        reasons = reasons_of(candidates)
        for number, reason in reasons.items():
            left_out[_described(candidates[number], reason)] += 1
        candidates = [region for number, region in enumerate(candidates) if number not in reasons]
    notes: tuple[str, ...] = (f"left out: {counted(left_out)}",) if left_out else ()
    if any(_NO_DETECTIONS_CLASS in what for what in left_out):
        notes += (_TO_COUNT_THEM,)
    if taken_apart:
        notes += (f"{taken_apart} objects of many parts were taken apart, each part a nucleus",)
    notes += _beside_detections(candidates)
    looked_through = annotations.is_ours and frames  # and there are none
    if left_out and not candidates and not looked_through:
        raise ImageFileError(f"{annotations.path}: expected nuclei, and none is left ({notes[0]}); export the nuclei.")
    return Nuclei(tuple(candidates), notes, tuple(frames), tuple(ignored))


MOST_CLASSES = 126
"""Classes beside the background that a table of nuclei holds. Files with more have names of nuclei for classes."""


def check_classes(names: Collection[str], where: object) -> None:
    """Refuses more classes than there can be.

    Raises:
        ImageFileError: There are more.
    """
    if len(names) > MOST_CLASSES:
        raise ImageFileError(
            f"{where}: expected at most {MOST_CLASSES} classes of nuclei, got {len(names)} ({first_of(names, 3)}); "
            "give nuclei the name of their class, and not one of their own."
        )


def first_of(names: Iterable[str], most: int = 10) -> str:
    """Names in a row, the first ones of many."""
    names = list(names)
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def on_image(nuclei: Nuclei, size_xy: tuple[float, float], path: object) -> Nuclei:
    """Leaves out the nuclei that lie beside the image, as those do whose coordinates are no pixels of it.

    Args:
        nuclei: Nuclei of a file.
        size_xy: Width and height of the image, px; infinite where nobody knows them.
        path: The file, for messages.

    Raises:
        ImageFileError: None lies on it.
    """
    regions = tuple(region for region in nuclei.regions if _touches(region, size_xy))
    if not (beside := len(nuclei.regions) - len(regions)):
        return nuclei
    if not regions:
        of_size = f" of {size_xy[0]} x {size_xy[1]} pixels" if np.isfinite(size_xy).all() else ""
        raise ImageFileError(
            f"{path}: expected nuclei on an image{of_size}, got {beside} that all lie beside it; export them in its "
            "pixels, counted from its upper left corner."
        )
    return replace(
        nuclei, regions=regions, notes=(*nuclei.notes, f"left out: {beside} nuclei that lie beside the image")
    )


def _touches(region: Region, size_xy: tuple[float, float]) -> bool:
    corners = np.concatenate(region.rings_xy)
    return bool((corners.max(0) > 0).all() and (corners.min(0) < size_xy).all())


def _without_cells(regions: Sequence[Region]) -> tuple[Sequence[Region], int]:
    """InstanSeg writes nuclei and the cells around them as detections; its two classes are none of nuclei."""
    if {region.name for region in regions if region.kind != "annotation"} not in _INSTANSEG:
        return regions, 0
    others = [region for region in regions if region.name not in ("Cells", "Cell")]
    return [replace(r, name="") if r.name in ("Nuclei", "Nucleus") else r for r in others], len(regions) - len(others)


def _without_outline(annotations: Annotations) -> int:
    return sum(annotations.left_out.get(kind, 0) for kind in DETECTED)


def _of_other_classes(regions: Sequence[Region], without_outline: int, framed: bool) -> dict[int, str]:
    """Annotations that are no nuclei because the detections are, by position, and why.

    Where detections are not the most by far, classes tell nothing: there a person drew the nuclei, or some of them.
    Within a frame (`Region*`), where classes were given to all, it is enough that they are the most.
    """
    drawn = [number for number, region in enumerate(regions) if region.kind == "annotation"]
    outlined = len(regions) - len(drawn)
    others, reason, rivals = drawn, "beside detections without outlines", drawn
    if outlined:
        known, reason = {_base(region.name) for region in regions if region.kind != "annotation"}, _NO_DETECTIONS_CLASS
        others = [number for number in drawn if _base(regions[number].name) not in known | {""}]
        rivals = drawn if known == {""} else [] if framed else others
    detections = outlined + without_outline
    carry = detections > len(drawn) and detections >= _CARRY * len(rivals)
    return dict.fromkeys(others, reason) if carry else {}


def _base(name: str) -> str:
    """What a class is derived from: `tumor` of `Tumor: Positive`."""
    return name.split(": ")[0].casefold()


def _beside_detections(nuclei: Sequence[Region]) -> tuple[str, ...]:
    """A sentence on the annotations among detections, if there are both."""
    names = [region.name or "no class" for region in nuclei if region.kind == "annotation"]
    if not 0 < len(names) < len(nuclei):
        return ()
    of_classes = first_of(sorted(set(names)))
    return (f"{len(names)} annotations beside {len(nuclei) - len(names)} detections count as nuclei ({of_classes})",)


def _described(region: Region, reason: str) -> str:
    return f"{region.kind} {reason}" + (f" ({region.name})" if region.name else "")


def _lies_apart(region: Region) -> bool:
    if len(region.parts) < 2:
        return False
    import shapely

    hull = shapely.convex_hull(shapely.MultiPoint(np.concatenate(region.rings_xy)))
    return bool(hull.area > _LOOSE.get(region.kind, 4.0) * region.area_px)


def _no_nuclei(regions: Sequence[Region]) -> dict[int, str]:
    """Annotations that are regions: their positions, and why."""
    areas = np.array([region.area_px for region in regions])
    is_drawn = np.array([region.kind == "annotation" for region in regions], bool)
    if not is_drawn.any() or len(regions) < 2:
        return {}
    surrounding = _surrounding(regions, areas, is_drawn)
    alone = np.delete(areas, surrounding)
    surrounding = [row for row in surrounding if areas[row] > _SURROUNDS * np.median(alone)]
    reasons = dict.fromkeys(surrounding, "around nuclei")
    rest = np.ones(len(regions), bool)
    rest[surrounding] = False
    others = areas[~is_drawn] if not is_drawn.all() else areas[rest]
    limit = (_LARGE if is_drawn.all() else _LARGE_AMONG_DETECTIONS) * np.median(others)
    for number in np.flatnonzero(is_drawn & rest & (areas > limit)).tolist():
        reasons[number] = f"of more than {limit:.0f} px"
    return reasons


def _surrounding(regions: Sequence[Region], areas: NDArray[np.float64], is_drawn: NDArray[np.bool_]) -> list[int]:
    """Annotations with the middles of others in them, which are smaller by far."""
    import shapely

    outer = [shapely.Polygon(region.rings_xy[0]) for region in regions]
    middles = np.array([ring.representative_point() if ring.is_valid else ring.centroid for ring in outer])
    tree = shapely.STRtree(middles)
    drawn = np.flatnonzero(is_drawn)
    pairs = tree.query(np.array(outer, object)[drawn], predicate="contains")
    inside: dict[int, list[int]] = {}
    for row, other in zip(drawn[pairs[0]].tolist(), pairs[1].tolist(), strict=True):
        if row != other and areas[other] < areas[row]:
            inside.setdefault(row, []).append(other)
    leaves = {row: [other for other in others if other not in inside] or others for row, others in inside.items()}
    return [row for row, others in leaves.items() if areas[row] > _SURROUNDS * np.median(areas[others])]


@dataclass(frozen=True)
class Sorted:
    """Objects by what they say, each under the name of the class that it has or is derived from.

    Attributes:
        nuclei: One for each nucleus.
        tissue: Tissue regions.
        unknown: Classes that are none of the names, sorted; `no class` for objects without one.
        notes: Sentences on what was left out, and on classes of tissue that are nuclei's too.
    """

    nuclei: tuple[Region, ...]
    tissue: tuple[Region, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]


def sort_out(annotations: Annotations, tissue_names: Sequence[str], nuclei_names: Sequence[str]) -> Sorted:
    """Tells nuclei and tissue regions apart by their classes, where both kinds are drawn in one file.

    What `nuclei_of` takes for no nucleus is left out, where it has a nuclei class or none. Classes that end in `*` are
    left out. Of a class that both lists name, as QuPath calls a region and what is detected in it, annotations are
    tissue, detections and cells nuclei.

    Args:
        annotations: What was drawn.
        tissue_names: Names of the tissue classes.
        nuclei_names: Names of the nuclei classes.
    """
    left_out: Counter[str] = Counter(annotations.left_out)
    tissue: list[Region] = []
    candidates: list[Region] = []
    unknown: set[str] = set()
    of_both: Counter[str] = Counter()
    for region in annotations.regions:
        as_nucleus, as_tissue = (known_class(region.name, names) for names in (nuclei_names, tissue_names))
        if region.name.endswith("*"):
            left_out[f"of class {region.name}"] += 1
        elif as_tissue is not None and (as_nucleus is None or region.kind == "annotation"):
            tissue.append(replace(region, name=as_tissue))
            if as_nucleus is not None:
                of_both[as_tissue] += 1
        elif as_nucleus is not None or not region.name:
            if region.has_children and region.kind == "annotation":
                left_out[_described(region, "with objects below it")] += 1
            else:
                parts = region.parts if _lies_apart(region) else (region,)
                candidates += [replace(part, name=as_nucleus or "") for part in parts]
        else:
            unknown.add(region.name)
    reasons = _no_nuclei(candidates)
    for number, reason in reasons.items():
        left_out[_described(candidates[number], reason)] += 1
    nuclei = tuple(region for number, region in enumerate(candidates) if number not in reasons)
    if any(not region.name for region in nuclei):
        unknown.add("no class")
    notes: tuple[str, ...] = (f"left out: {counted(left_out)}",) if left_out else ()
    if of_both:
        notes += (
            f"annotations of classes of tissue and of nuclei count as tissue, detections as nuclei: {counted(of_both)}",
        )
    return Sorted(tuple(region for region in nuclei if region.name), tuple(tissue), tuple(sorted(unknown)), notes)
