"""Finished folders of `coseg slide` and `coseg predict` as something to measure."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.labels.json_files import read_json
from coseg_bundle.data.labels.regions import read_regions
from coseg_bundle.measures.groups.areas import TissuePlane, pixels_inside
from coseg_bundle.measures.maps import open_map, read_map
from coseg_bundle.measures.source import Source, at_hand, kinds_of, middle_um2
from coseg_bundle.settings.values import SAME_SCALE
from coseg_bundle.writers.corrections import doubts_about
from coseg_bundle.writers.folders import ResultsFolderError, check_own
from coseg_bundle.writers.nuclei_table import nuclei_columns
from coseg_bundle.writers.summary import (
    MADE_FROM,
    SAME_MPP,
    SUMMARY,
    BrokenRecordError,
    broken_boxes,
    doubts,
    doubts_in,
    gaps_in,
    read_record,
)
from coseg_bundle.wsi.read.reader import thumbnail_shape
from coseg_bundle.wsi.results.reading import TISSUE, FinishedSlide
from coseg_bundle.wsi.results.regions_file import REGIONS
from coseg_bundle.wsi.results.writing import FOREGROUND
from coseg_bundle.wsi.segment.foreground import KINDS
from coseg_bundle.wsi.segment.tissue import at_points

if TYPE_CHECKING:
    import pyarrow as pa

_SLIDE_AGAIN = "coseg slide --overwrite"
_OF_WEIGHTS = "weights", "weights_sha256", "network_mpp", "precision", "versions"
_ABOUT = *_OF_WEIGHTS, "thumbnail", "unscanned", "read_as"


@contextmanager
def finished_slide(folder: Path, slide: Path | None = None) -> Iterator[Source]:
    """A folder that `coseg slide` wrote.

    Args:
        folder: The folder.
        slide: Where the slide is now; where it was then when not given.

    Raises:
        ResultsFolderError: It holds no finished slide, or lacks what is needed.
    """
    finished = FinishedSlide.open(folder)
    summary = finished.summary
    _check_trained(folder, summary)
    image, left_out = at_hand(finished.slide, summary.get(MADE_FROM, {}).get("content"), slide)
    origin, mpp = summary.get("origin", "bounds"), float(summary["mpp"])
    size = int(summary["width_px"]), int(summary["height_px"])
    broken = summary.get("unreadable_tiles", [])
    if broken:
        left_out += (f"{len(broken)} tiles that could not be read ({broken[0]['reason']})",)
    check_own(folder, summary, REGIONS)
    limited = summary.get("regions") is not None  # else they were drawn later, in `coseg view`
    drawn = folder / REGIONS if limited and (folder / REGIONS).is_file() else None
    within = None if drawn is None else tuple(region.polygon for region in read_regions(drawn, size).regions)
    with open_map(folder / TISSUE, len(finished.tissue_classes), _SLIDE_AGAIN) as (read, shape):
        px = summary["tissue_map_mpp"] / mpp
        if max(abs(shape[1] * px - size[0]), abs(shape[0] * px - size[1])) > 2 * px + 2:
            raise ResultsFolderError(
                f"{folder / TISSUE} has {shape[1]} x {shape[0]} pixels of {summary['tissue_map_mpp']} um, which are "
                f"not the slide's; make the results anew with {_SLIDE_AGAIN}."
            )
        plane = TissuePlane(
            lambda b: read(slice(b.y0, b.y1), slice(b.x0, b.x1)),
            (min(shape[0], pixels_inside(size[1], px)), min(shape[1], pixels_inside(size[0], px))),
            px,
            float(summary["tissue_map_mpp"]),
            _kinds(folder, summary, image, mpp, origin, size),
            broken_boxes(summary),
            within,
        )
        yield Source(
            folder,
            "slide",
            image,
            mpp,
            size,
            finished.nuclei_classes,
            finished.tissue_classes,
            finished.nuclei,
            int(summary["nuclei"]),
            plane,
            _outline_px(summary),
            origin,
            (int(summary.get("origin_x_px", 0)), int(summary.get("origin_y_px", 0))),
            drawn,
            left_out,
            _about(folder, summary, doubts_in(summary)) | {"slide": summary["slide"]},
        )


def _outline_px(summary: Mapping[str, Any], same_scale: float = 0.0) -> float:
    """Side of the network's pixels, px of level 0: those of an image whose resolution it was not told, or is alike."""
    network, own = summary.get("network_mpp"), summary.get("mpp")
    if not (network and own) or abs(own / network - 1) <= same_scale:
        return 1.0
    return float(network) / float(own)


def _about(folder: Path, summary: Mapping[str, Any], found: Sequence[str]) -> dict[str, Any]:
    said = {name: summary[name] for name in _ABOUT if name in summary}
    return said | {"doubts": doubts_about(folder, found)}


def _doubts(summary: Mapping[str, Any], rows: pa.Table, mpp: float) -> list[str]:
    """Those of the results, or of the resolution that was given: without one they doubt the network's."""
    if summary.get("mpp"):
        return doubts_in(summary)
    found = [*gaps_in(summary), *doubts(rows.num_rows, middle_um2(rows), mpp)]
    taken = summary.get("network_mpp")
    if taken and abs(mpp / taken - 1) > SAME_MPP:
        found.append(
            f"the image was segmented as one of {taken:.4g} um per pixel, and {mpp:.4g} was given: segment it again "
            f"with coseg predict --mpp {mpp:.4g}"
        )
    return found


def _check_trained(folder: Path, summary: Mapping[str, Any]) -> None:
    if untrained := summary.get("untrained"):
        tasks = " and ".join(map(str, untrained)) if isinstance(untrained, list) else str(untrained)
        nuclei = folder / "nuclei.geojson"
        alone = f"measure its nuclei alone with `coseg measure {nuclei} --slide SLIDE --output DIR`, or "
        raise ResultsFolderError(
            f"{folder}: its network was not trained for {tasks}, and measures need nuclei and tissue; "
            f"{alone if untrained == ['tissue'] and nuclei.is_file() else ''}segment it with weights that know both."
        )


def _kinds(
    folder: Path, summary: dict[str, Any], image: Path | None, mpp: float, origin: Any, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """What there is over the slide: as the run saw it, or seen again."""
    if (folder / FOREGROUND).is_file():
        check_own(folder, summary, FOREGROUND)
        return read_map(  # how large it is, the run chose
            folder / FOREGROUND, len(KINDS), _SLIDE_AGAIN, lambda found: thumbnail_shape(size, max(found))
        )
    if image is None:
        raise ResultsFolderError(
            f"{folder} does not say where there is glass ({FOREGROUND} is missing) and its slide is not at hand; give "
            "it with --slide."
        )
    return kinds_of(image, mpp, origin)[0]  # the run has listed what could not be read


@contextmanager
def finished_image(folder: Path, image: Path | None = None, mpp: float | None = None) -> Iterator[Source]:
    """A folder that `coseg predict` wrote.

    Args:
        folder: The folder.
        image: Where the image is now; where it was then when not given.
        mpp: Microns per pixel, where the results do not say them.

    Raises:
        ResultsFolderError: Its results are not complete, or their resolution is not known.
    """
    summary = _summary(folder, mpp)
    check_own(folder, summary, "nuclei.csv", "nuclei.geojson", "tissue.tif")
    mpp = float(summary["mpp"] or mpp or 0)  # one of them is there: _summary
    classes = ClassMap(("background", *summary["nuclei_by_class"])), ClassMap(tuple(summary["tissue_area_px"]))
    size = summary.get("height_px"), summary.get("width_px")
    shape = (size[0], size[1]) if isinstance(size[0], int) and isinstance(size[1], int) else None
    tissue = read_map(folder / "tissue.tif", len(classes[1]), "coseg predict", shape)
    made_from = summary.get(MADE_FROM, {})
    typed, whole = Path(summary["image"]), Path(made_from.get("file", summary["image"]))
    path, left_out = at_hand(whole if whole.exists() else typed, made_from.get("content"), image)
    kinds, note = _kinds_of_image(path, tissue.shape, mpp)
    rows = _rows(folder, tissue, mpp, *classes)
    if rows.num_rows != summary.get("nuclei", rows.num_rows):
        raise ResultsFolderError(
            f"{folder / 'nuclei.csv'} has {rows.num_rows} nuclei, and {SUMMARY} says {summary['nuclei']}; run coseg "
            "predict again."
        )
    plane = TissuePlane(lambda b: tissue[b.y0 : b.y1, b.x0 : b.x1], tissue.shape, 1.0, mpp, kinds)
    yield Source(
        folder,
        "predict",
        path,
        mpp,
        (tissue.shape[1], tissue.shape[0]),
        *classes,
        lambda columns: iter([rows.select(list(columns or rows.column_names))]),
        rows.num_rows,
        plane,
        _outline_px(summary, SAME_SCALE),
        left_out=left_out + note,
        about=_about(folder, summary, _doubts(summary, rows, mpp)) | {"image": summary["image"]},
    )


def _kinds_of_image(
    path: Path | None, shape: tuple[int, ...], mpp: float
) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    if path is None:
        return None, ("glass, since the image is not at hand: the whole image counts as tissue",)
    return kinds_of(path, mpp)


def _summary(folder: Path, mpp: float | None) -> dict[str, Any]:
    if (folder / SUMMARY).is_file():
        with suppress(BrokenRecordError):
            _check_trained(folder, read_record(folder / SUMMARY))
    absent = [name for name in (SUMMARY, "nuclei.csv", "nuclei.geojson", "tissue.tif") if not (folder / name).is_file()]
    if absent:
        raise ResultsFolderError(f"{folder}: no finished image ({absent[0]} is missing); run coseg predict again.")
    try:
        summary = read_record(folder / SUMMARY)
    except BrokenRecordError as error:
        raise ResultsFolderError(f"{error}; run coseg predict again.") from error
    wrong = [name for name in ("nuclei_by_class", "tissue_area_px") if not isinstance(summary.get(name), dict)]
    wrong += [name for name in ("image",) if not isinstance(summary.get(name), str)]
    if wrong:
        raise ResultsFolderError(
            f"{folder / SUMMARY} is broken (no usable {', '.join(wrong)}); run coseg predict again."
        )
    if not summary.get("mpp") and not mpp:
        raise ResultsFolderError(f"{folder}: its microns per pixel are not known; give them with --mpp.")
    return summary


def _rows(
    folder: Path, tissue: NDArray[np.uint8], mpp: float, nuclei_classes: ClassMap, tissue_classes: ClassMap
) -> pa.Table:
    """`nuclei.csv` with the outlines of `nuclei.geojson`."""
    import shapely

    content = read_json(folder / "nuclei.geojson", "nuclei as GeoJSON")
    try:
        with (folder / "nuclei.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        outlines = {int(f["properties"]["name"]): f["geometry"]["coordinates"] for f in content["features"]}
        ids = [int(row["instance_id"]) for row in rows]
        number = {
            name: np.array([float(row[name] or "nan") for row in rows], np.float64)
            for name in ("centroid_x", "centroid_y", "area_px", "type_prob", "nuclei_prob", "disagreement")
        }
        polygons = np.array([shapely.Polygon(outlines[i][0], outlines[i][1:]) for i in ids], object)
        type_id = np.array([nuclei_classes.id_of(row["type"]) for row in rows], np.int8)
        tissue_id = np.array([tissue_classes.id_of(row["tissue"]) for row in rows], np.int16)
    except (LookupError, ValueError, TypeError, csv.Error) as error:
        raise ResultsFolderError(
            f"{folder}: nuclei.csv and nuclei.geojson do not fit ({error}); run coseg predict again."
        ) from error
    points = np.stack([number["centroid_x"], number["centroid_y"]], axis=1)
    border = at_points(tissue, points, mpp)[1] if len(points) else np.zeros(0, np.float32)
    return nuclei_columns(
        {
            "id": np.array(ids, np.int64),
            "geometry": polygons,
            "x": points[:, 0],
            "y": points[:, 1],
            "area_um2": number["area_px"] * mpp**2,
            **{name: number[name] for name in ("type_prob", "nuclei_prob", "disagreement")},
            "tissue_border_um": border,
        },
        type_id,
        tissue_id,
        nuclei_classes,
        tissue_classes,
    )
