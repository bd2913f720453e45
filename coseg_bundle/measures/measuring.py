"""Measures a source: every nucleus, then everything that nuclei are grouped by. Outlines come and go in a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.labels.regions import RegionsOfInterest, read_regions, regions_containing
from coseg_bundle.engine.cores import available_cores
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.measures.files import NUCLEI, RECORD, NucleiWriter, class_ids, write_table
from coseg_bundle.measures.foreign.ground import plane_of
from coseg_bundle.measures.groups.areas import Areas, Grid, Survey, survey
from coseg_bundle.measures.groups.columns import area_columns, count_columns, nearest_columns
from coseg_bundle.measures.groups.intervals import LEVEL
from coseg_bundle.measures.groups.roles import ROLES
from coseg_bundle.measures.groups.rows import Classes, Columns, MeasuredNuclei
from coseg_bundle.measures.groups.tables import class_table, grid_table, region_table, slide_table, tissue_table
from coseg_bundle.measures.nuclei.neighbours import Neighbours
from coseg_bundle.measures.nuclei.shapes import shape_measures
from coseg_bundle.measures.nuclei.stains import stain_measures, stain_step
from coseg_bundle.measures.source import Source, place_of
from coseg_bundle.settings.values import check_number
from coseg_bundle.writers.folders import check_own
from coseg_bundle.writers.nuclei_table import schema
from coseg_bundle.writers.summary import SUMMARY, listed_doubts, read_record, versions
from coseg_bundle.wsi.read.reader import SlideReader
from coseg_bundle.wsi.segment.foreground import KINDS, TISSUE

if TYPE_CHECKING:
    import pyarrow as pa

_KNOWN = ("type_prob", "nuclei_prob", "disagreement", "tissue_border_um", "area_um2")
"""Measures that the rows bring along."""

_FOREIGN = ("geojson", "label map")
"""Kinds of sources that do not say what image they are of."""

_AT_ONCE = 25_000
"""Nuclei whose outlines are in memory at a time, and that make a row group."""


MOST_OUTSIDE = 0.05
"""Share of the nuclei above which it is said that they lie where no tissue was found: a few always lie on its rim."""

SAME_PLACE_UM, MOST_TWICE = 1.0, 0.05
"""Nuclei are several microns wide: closer centroids are those of one that was found twice, but for a few that lie
around others."""

UNSTAINED = "no optical densities, since the slide is not at hand: give it with --slide"
"""What is said of measures without a slide that were to have colours."""


@dataclass(frozen=True)
class Wanted:
    """What to measure.

    Attributes:
        by_region: Whether to make a row for each region: of `regions`, of the run if it was limited to some, or else of
            the tissue.
        grid_um: Side of the cells of a grid; none without it.
        regions: A file of regions of interest.
        stains: Whether to measure colours where the slide is at hand.
        csv: Whether to write the nuclei as CSV too.
        roles: Which classes are `tumor`, `stroma` and `inflammatory`, in place of what their names say.

    Raises:
        ValueError: The side of the grid's cells is no number, or below 1 um, or the roles are no lists of classes by
            role.
    """

    by_region: bool = False
    grid_um: float | None = None
    regions: Path | None = None
    stains: bool = True
    csv: bool = False
    roles: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if unknown := self.roles.keys() - set(ROLES):
            raise ValueError(f"Expected the roles {', '.join(ROLES)}, got {', '.join(sorted(unknown))}.")
        for role, names in self.roles.items():
            if isinstance(names, str):
                raise ValueError(f"Expected for the role {role} a list of classes, got {names!r}.")
        if self.grid_um is not None:
            check_number("grid_um, the side of a grid's cells in microns,", self.grid_um, 1)


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        tables: Tables by name: `slide`, `tissue`, `classes`, `regions`, `grid`, those that there are.
        record: Content of `measures.json`.
        refused: A sentence for each region and each nucleus that could not be used.
        notes: Sentences on which objects of a file count as nuclei.
    """

    tables: Mapping[str, Columns]
    record: Mapping[str, Any]
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def measure(source: Source, folder: Path, wanted: Wanted) -> Measured:
    """Measures a source and writes all files into a folder; `docs/measures.md` defines what is in them.

    Args:
        source: What to measure.
        folder: Where to; it exists.
        wanted: What to measure.

    Raises:
        ImageFileError: The regions cannot be used.
        ValueError: A class that is given a role is not there.
    """
    regions = _regions(source, wanted)
    classes = Classes.of(source.nuclei_classes, source.tissue_classes, wanted.roles)
    nuclei = _positions(source)
    grid, found = _survey(source, wanted, regions, nuclei, classes)
    polygons = [region.polygon for region in regions.regions]
    pairs = regions_containing(polygons, *nuclei.xy.T)
    left_out = source.left_out + regions.notes
    if wanted.stains and source.image is None and source.kind in _FOREIGN:
        left_out += ("optical densities, since the slide is not at hand",)
    known_um = source.horizon.distance(nuclei.xy) * source.mpp
    if np.isfinite(known_um).any():
        left_out += ("neighbours, local densities and distances that reach out of what was segmented",)
    given = {name: values for name, values in nuclei.measures.items() if not np.isnan(values).all()}
    if classes.roles.tumor and classes.roles.stroma:
        nuclei = replace(nuclei, tumor_um=found.tumor_um)
        pixel = source.plane.mpp if source.plane else 0.0
        given["tumor_um"] = np.where(found.tumor_um <= known_um - pixel, found.tumor_um, np.float32(np.nan))
    stained = wanted.stains and source.image is not None
    opened: AbstractContextManager[SlideReader | None] = source.reader() if stained else nullcontext()
    names = [region.name for region in regions.regions]
    with opened as reader, NucleiWriter(folder, wanted.csv, source) as writer:
        parts = _measured_parts(source, nuclei, known_um, reader)
        measured = writer.write(parts, given.get("tumor_um"), names, pairs)
    nuclei = replace(nuclei, measures=given | measured)
    tables: dict[str, Columns] = {"slide": slide_table(source.name, nuclei, found, classes)}
    if len(source.tissue_classes) > 1:
        tables["tissue"] = tissue_table(nuclei, found, classes)
    if len(source.nuclei_classes) > 2:
        tables["classes"] = class_table(nuclei, found, classes)
    if regions.regions:
        tables["regions"] = region_table(regions.regions, pairs, nuclei, found, classes)
    if grid:
        tables["grid"] = grid_table(grid, nuclei, source.mpp, found, classes)
    for name, table in tables.items():
        write_table(folder / f"{name}.csv", table)
    refused = source.refused + regions.refused
    record = _record(source, wanted, classes, left_out, refused, _doubts(source, wanted, nuclei))
    (folder / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")  # the last one
    return Measured(tables, record, refused, source.notes)


def _doubts(source: Source, wanted: Wanted, nuclei: MeasuredNuclei) -> list[str]:
    """Those of the results, and those of measures of them."""
    doubts = listed_doubts(source.about)
    points_xy, plane = nuclei.xy, source.plane
    twice = int((nuclei.measures["nearest_um"] < SAME_PLACE_UM).sum())
    if twice > MOST_TWICE * len(points_xy):
        doubts.append(
            f"{twice} of {len(points_xy)} nuclei lie within {SAME_PLACE_UM:g} um of another: were they found twice? "
            "Counts and densities are of all"
        )
    if plane and plane.kinds is not None:
        outside = int((plane.kinds_at(points_xy) != TISSUE).sum())
        if outside > MOST_OUTSIDE * len(points_xy):
            seen = np.bincount(plane.kinds.ravel(), minlength=len(KINDS)) / plane.kinds.size
            shares = ", ".join(f"{name} {100 * share:.1f} %" for name, share in zip(KINDS, seen, strict=True) if share)
            doubts.append(
                f"{outside} of {len(points_xy)} nuclei lie where no tissue was found ({shares}): densities count them, "
                "and areas leave that ground out"
            )
    return [*doubts, UNSTAINED] if wanted.stains and source.image is None else doubts


def _regions(source: Source, wanted: Wanted) -> RegionsOfInterest:
    file = wanted.regions or source.regions
    if file is None and wanted.by_region:
        file = source.path / "tissue.geojson"
        if not file.is_file():
            raise ImageFileError(f"{source.path}: regions of what? It has no tissue; give regions with --regions.")
        check_own(source.path, read_record(source.path / SUMMARY), file.name)
        if not json.loads(file.read_text(encoding="utf-8"))["features"]:
            return RegionsOfInterest((), (), ("no region, since there is no tissue but the background",))
        return replace(
            read_regions(file, source.size_xy), notes=()
        )  # its map ends with a whole pixel, behind the slide
    return (
        RegionsOfInterest(())
        if file is None
        else read_regions(file, source.size_xy, source.origin_xy, source.scanned_xy)
    )


def _positions(source: Source) -> MeasuredNuclei:
    """All nuclei without their outlines: what neighbours and areas need before the first row is written."""
    columns = ("x", "y", "type", "tissue", *_KNOWN)
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in columns}
    for rows in _parts(source, columns):
        for name in ("x", "y"):
            parts[name].append(rows[name].to_numpy())
        for name in _KNOWN:
            parts[name].append(rows[name].to_numpy().astype(np.float32))
        for name, classes in (("type", source.nuclei_classes), ("tissue", source.tissue_classes)):
            parts[name].append(class_ids(rows[name], classes))
    found = {name: np.concatenate(values) for name, values in parts.items()}
    measures = {name: found[name] for name in _KNOWN}
    return MeasuredNuclei(
        np.stack([found["x"], found["y"]], axis=1),
        found["type"],
        found["tissue"],
        measures["nuclei_prob"],
        measures["type_prob"],
        measures,
    )


def _parts(source: Source, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The rows, one part at least."""
    part = None
    for part in source.nuclei(columns):
        yield part
    if part is None:
        empty = schema().empty_table()
        yield empty if columns is None else empty.select(list(columns))


def _survey(
    source: Source, wanted: Wanted, regions: RegionsOfInterest, nuclei: MeasuredNuclei, classes: Classes
) -> tuple[Grid | None, Survey]:
    """Areas; of nuclei on an unknown ground only those of what was drawn on it, neither the whole's nor a cell's."""
    polygons = [region.polygon for region in regions.regions]
    ends = [nuclei.xy, *(np.array(polygon.bounds).reshape(2, 2) for polygon in polygons)]
    size = source.size_xy or tuple(np.concatenate(ends).max(axis=0, initial=1.0).tolist())
    grid = Grid.over(size[0] * source.mpp, size[1] * source.mpp, wanted.grid_um) if wanted.grid_um else None
    plane = source.plane or plane_of((size[0], size[1]), source.mpp)
    found = survey(
        plane, len(classes.tissue), classes.roles, regions=polygons, grid=grid, points_xy=nuclei.xy,
        regions_only=source.plane is None,
    )  # fmt: skip
    if source.plane is None:
        found = replace(found, slide=_unknown(found.slide), cells=_unknown(found.cells))
    return grid, found


def _unknown(areas: Areas) -> Areas:
    return Areas(*(np.full_like(values, np.nan) for values in (areas.by_tissue, areas.near_tumor)))


def _measured_parts(
    source: Source, nuclei: MeasuredNuclei, known_um: NDArray[np.float64], reader: SlideReader | None
) -> Iterator[tuple[pa.Table, dict[str, Any]]]:
    """The rows, some ten thousand at a time, with what is measured of each."""
    import shapely

    points = nuclei.xy * source.mpp
    around = Neighbours.of(points, nuclei.type_id, source.nuclei_classes.names[1:], available_cores())
    start = 0
    for part in _parts(source):
        for first in range(0, max(part.num_rows, 1), _AT_ONCE):
            rows = part.slice(first, _AT_ONCE)
            here = slice(start, start + rows.num_rows)
            start += rows.num_rows
            polygons = shapely.from_wkb(rows["geometry"].to_numpy())
            measured = shape_measures(polygons, source.mpp, rows["area_um2"].to_numpy(), pixel_px=source.outline_px)
            if reader is not None:
                measured |= stain_measures(polygons, reader)
            measured |= around.measures(points[here], nuclei.type_id[here], known_um[here])
            yield rows, measured


def _record(
    source: Source,
    wanted: Wanted,
    classes: Classes,
    left_out: tuple[str, ...],
    refused: tuple[str, ...],
    doubts: list[str],
) -> dict[str, Any]:
    """What the tables depend on, and what they lack."""
    roles = classes.roles
    tissue, nuclei = classes.tissue.names, classes.nuclei.names
    return {
        "source": str(place_of(source.path)),
        "content": source.content,
        "kind": source.kind,
        "image": str(source.image.resolve()) if source.image else None,
        "image_content": fingerprint(source.image) if source.image and source.kind in _FOREIGN else None,
        "mpp": source.mpp,
        "origin": source.origin,
        "stains_mpp": stain_step(source.mpp) * source.mpp if wanted.stains and source.image else None,
        "outline_px": source.outline_px,
        "size_px": list(source.size_xy) if source.size_xy else None,
        "nuclei": source.count,
        "nuclei_file": NUCLEI,
        "nuclei_classes": list(nuclei[1:]),
        "tissue_classes": list(tissue),
        "columns": {
            "nuclei": dict(zip(nuclei[1:], count_columns(nuclei[1:]), strict=True)) if len(nuclei) > 2 else {},
            "nearest": dict(zip(nuclei[1:], nearest_columns(nuclei[1:]), strict=True)) if len(nuclei) > 2 else {},
            "tissue": dict(zip(tissue, area_columns(tissue), strict=True)) if len(tissue) > 1 else {},
        },
        "taken_for": {
            "tumor": [tissue[i] for i in roles.tumor],
            "stroma": [tissue[i] for i in roles.stroma],
            "inflammatory": [nuclei[i] for i in roles.inflammatory],
        },
        "interval": LEVEL,
        "regions_content": fingerprint(wanted.regions) if wanted.regions else None,
        "settings": {name: str(v.resolve()) if isinstance(v, Path) else v for name, v in asdict(wanted).items()},
        "left_out": list(left_out),
        "refused": list(refused),
        "results": {**source.about, "doubts": doubts},
        "versions": versions("coseg-bundle", "numpy", "scipy", "shapely", "scikit-image", "pyarrow"),
    }
