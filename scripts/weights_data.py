"""Lists the sets of `make weights`, split by patient, and derives the tissue labels that they lack.

    python scripts/weights_data.py DATA --output runs/classes

DATA holds monuseg, monuseg_more, tnbc, consep_train, glas_train, puma, cervix_panoptic and nucls
(docs/notebook/classes.md). Written: OUTPUT/datalist.json and OUTPUT/tissue/SET/NAME.tif: 0 empty, 1 gland, 2 other
tissue, 255 unlabelled. Glands are GlaS' own labels. Tiles that show no gland (looked at one by one) are other tissue;
wide bright areas outside of glands are empty. The datalist names no classes: nuclei have the ids of their set, which
configs/presets/mini_classes.yaml merges.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.morphology import disk, opening, remove_small_objects

from coseg_bundle.data.datalist import load_datalist, write_datalist
from coseg_bundle.data.images import read_image, read_label, stem_of, write_tiff

EMPTY, GLAND, OTHER, UNLABELLED = 0, 1, 2, 255

NO_GLAND = {
    "monuseg": (
        *("21-5784", "21-5786", "50-5931", "B0-5698", "B0-5710", "B0-5711", "AR-A1AK", "AR-A1AS", "18-5592"),
        *("DK-A2I6", "KB-A93J", "RD-A8N9"),
    ),
    "consep": tuple(f"train_{n}" for n in (2, 4, 5, 9, 11, 12, 15, 16, 18, 21, 23, 25, 26, 27)),
}
FAT = {
    "consep": tuple(f"train_{n}" for n in (5, 16, 25, 26)),
    "tnbc": ("02_1", "03_1", "09_4", "10_4"),
}
ONLY_FAT = {"tnbc": ("04_2", "04_3", "04_5", "04_7", "09_6")}
"""Tiles whose wide bright areas are (all) fat, which is tissue and no glass."""

DUCTS = {
    "07_3": (((470, 325), (110, 95)), ((290, 460), (100, 90))),
    "08_1": (((90, 315), (125, 130)),),
}
"""Ducts of TNBC that were drawn for this: centres and radii of ellipses, px."""

UNSURE = {"tnbc": ("01_4", "06_2", "06_3", "11_3")}
"""Epithelium that may or may not be a duct's."""

HALF_RESOLUTION = ("HE-7128", "HE-7129", "HE-7130")
"""MoNuSeg tiles whose nuclei are sharp and half as wide as the others': 0.5 mpp."""

KEPT = {
    "monuseg": ("21-5784", "AR-A1AK", "B0-5711", "G9-6356", "AY-A8YK", "HE-7129"),
    "tnbc": ("tnbc_05", "tnbc_08"),
    "consep": tuple(f"train_{n}" for n in (3, 6, 9, 19, 23)),
    "glas": tuple(f"train_{n}" for n in range(5, 86, 5)),
    "points": tuple(f"test_{n}" for n in range(1, 6)),
}
"""For validation. MoNuSeg: a tile is a patient; TNBC: two patients; CoNSeP and GlaS do not say whose a tile is."""

MPP = {"monuseg": 0.25, "tnbc": 0.25, "consep": 0.25, "puma": 0.226}


def main() -> None:
    """Writes the datalist and the labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", "-o", type=Path, default=Path("runs/classes"))
    parser.add_argument("--points", type=Path, help="datalist that `coseg datalist DATA/nucls --layout points` wrote")
    parser.add_argument(
        "--sets", nargs="+", choices=sorted({name for name, _ in SETS}), help="these alone; all if none is named"
    )
    given = parser.parse_args()
    sets = [(name, folder) for name, folder in SETS if not given.sets or name in given.sets]
    items = [item for name, folder in sets for item in listed(name, given.data / folder, given.output)]
    if given.points:
        for section in ("training", "validation"):
            listed_there = load_datalist(given.points, section)
            items += [of_points(item, given.data / "nucls", given.output) for item in listed_there]
    kept = [is_kept(item) for item in items]
    datalist = {
        "training": [item for item, keep in zip(items, kept, strict=True) if not keep],
        "validation": [item for item, keep in zip(items, kept, strict=True) if keep],
    }
    write_datalist(given.output / "datalist.json", datalist)
    print({section: len(items) for section, items in datalist.items()}, "->", given.output / "datalist.json")


SETS = (
    *(("monuseg", "monuseg"), ("monuseg", "monuseg_more"), ("tnbc", "tnbc"), ("consep", "consep_train")),
    *(("glas", "glas_train"), ("puma", "puma"), ("cervix", "cervix_panoptic")),
)


def listed(name: str, folder: Path, output: Path) -> Iterator[dict[str, Any]]:
    """The items of a set."""
    for image in sorted((folder / "images").glob("[!.]*")):
        stem = stem_of(image)
        item: dict[str, Any] = {"image": str(image), "dataset": name}
        for key, below in (("instances", "nuclei"), ("types", "nuclei_type"), ("tissue", "tissue")):
            found = [p for p in sorted((folder / below).glob(f"{stem}*")) if p.stem in (stem, f"{stem}_inst")]
            if key == "types" and name == "puma":
                found = sorted((folder / "nuclei").glob(f"{stem}_type*"))
            if found and not (key == "types" and name == "cervix"):
                item[key] = str(found[0])
        if name in MPP:
            item["mpp"] = 0.5 if any(tile in stem for tile in HALF_RESOLUTION) else MPP[name]
        tissue = derived(name, stem, image, item.get("tissue"))
        if tissue is not None:
            path = output / "tissue" / name / f"{stem}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tiff(path, tissue)
            item["tissue"] = str(path.resolve())
        yield item


POINT_CLASSES = (1, 3, 2, 4)
"""NuCLS' tumour, stroma, lymphocytes and others by our names."""


def of_points(item: dict[str, Any], folder: Path, output: Path) -> dict[str, Any]:
    """An image of NuCLS with the classes of its points; nuclei that no point names are unlabelled."""
    stem = stem_of(Path(item["image"]))
    instances = np.asarray(read_label(Path(item["instances"])))
    of_id = np.full(instances.max() + 1, UNLABELLED, np.uint8)
    of_id[0] = 0
    for x, y, name in np.loadtxt(folder / "points" / f"{stem}.csv", int, delimiter=",", ndmin=2):
        if instances[y, x]:
            of_id[instances[y, x]] = POINT_CLASSES[name]
    path = output / "types" / f"{stem}.tif"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tiff(path, of_id[instances])
    return item | {"dataset": "points", "types": str(path.resolve())}


def is_kept(item: dict[str, Any]) -> bool:
    """Whether an item validates."""
    return is_among(stem_of(Path(item["image"])), item["dataset"], KEPT)


def is_among(stem: str, name: str, tiles: dict[str, tuple[str, ...]]) -> bool:
    """Whether a tile is named; by part of its name where that holds the patient."""
    by_part = name in ("monuseg", "tnbc")
    return any(tile in stem if by_part else tile == stem for tile in tiles.get(name, ()))


def derived(name: str, stem: str, image: Path, tissue: str | None) -> NDArray[np.uint8] | None:
    """Tissue labels of a tile, None where it has its own or nobody knows them."""
    if name == "glas" and tissue is not None:
        gland = np.asarray(read_label(Path(tissue))) > 0
        label = np.where(gland, GLAND, OTHER)
        return np.where(bright(image, 0.62) & ~gland, EMPTY, label).astype(np.uint8)
    if is_among(stem, name, UNSURE):
        return None
    if name in ("tnbc", "puma") or is_among(stem, name, NO_GLAND):
        rgb = read_image(image).rgb
        label = np.full(rgb.shape[:2], OTHER, np.uint8)
        if not is_among(stem, name, ONLY_FAT):
            label[bright(image, 0.25)] = UNLABELLED if is_among(stem, name, FAT) else EMPTY
        for centre, radii in DUCTS.get(stem.removeprefix("tnbc_"), ()):
            cv2.ellipse(label, centre, radii, 0, 0, 360, GLAND, cv2.FILLED)
        if stem in ("train_2", "train_12", "train_15") and name == "consep":
            label[ink(rgb)] = EMPTY
        return label
    return None


def bright(image: Path, mpp: float) -> NDArray[np.bool_]:
    """Wide bright colourless areas: at least 8 um wide, 2,000 um2 large."""
    rgb = cv2.GaussianBlur(read_image(image).rgb, (0, 0), 1 / mpp).astype(np.int16)
    glass = (rgb.min(axis=2) > 205) & (np.ptp(rgb, axis=2) < 25)
    wide = opening(glass, disk(round(4 / mpp)))
    return np.asarray(remove_small_objects(wide, max_size=round(2000 / mpp**2)))


def ink(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Black or blue ink on the tissue."""
    red, green, blue = cv2.GaussianBlur(rgb, (0, 0), 3).astype(np.int16).transpose(2, 0, 1)
    marked = (np.maximum(np.maximum(red, green), blue) < 85) | (blue - red > 70)
    return np.asarray(remove_small_objects(opening(marked, disk(5)), max_size=3000))


if __name__ == "__main__":
    main()
