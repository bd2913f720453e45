"""Datalists: which images there are, with which labels, for training, validation and testing."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from coseg_bundle import keys
from coseg_bundle.atomic import whole_file
from coseg_bundle.data.images import IMAGE_SUFFIXES, LABEL_SUFFIXES, stem_of, suffix_of

SECTIONS = ("training", "validation", "testing")
Section = Literal["training", "validation", "testing"]
CLASS_TABLES = ("tissue_classes", "nuclei_classes")
"""Names of classes by label id, beside the sections."""

_FOLDERS = {
    keys.INSTANCES: ("nuclei", "instances", "inst", "instance_maps", "labels"),
    keys.TYPES: ("types", "nuclei_type", "nuclei_types", "type_maps"),
    keys.TISSUE: ("tissue", "tissues", "tissue_maps", "glands"),
}
"""Folder names that hold each kind of label, the first one preferred."""

_STEM_SUFFIXES = {keys.INSTANCES: ("", "_inst"), keys.TYPES: ("", "_type"), keys.TISSUE: ("", "_tissue")}


class DatalistError(ValueError):
    """A datalist that cannot be used; the message names the file and the remedy."""


def load_datalist(path: str | PathLike[str], section: Section) -> list[dict[str, Any]]:
    """Reads one section of a datalist, with absolute paths.

    Args:
        path: JSON file with lists `training`, `validation` and `testing` of items
            `{"image", "instances"?, "types"?, "tissue"?, "mpp"?, "dataset"?}`; paths relative to the file.
        section: The list to read.

    Raises:
        DatalistError: The file or an image or label is missing, the section is empty, or an item has unknown keys.
    """
    path = Path(path).expanduser().resolve()
    content = _read_json(path)
    items = content.get(section)
    if not items:
        raise DatalistError(f"{path} has no items under {section!r}; expected a list of {{'image': ..., labels}}.")
    resolved = _resolve_all(items, path, section)
    missing = [item[key] for item in resolved for key in _path_keys(item) if not Path(item[key]).is_file()]
    if missing:
        raise DatalistError(
            f"{path}: {len(missing)} files of section {section!r} are missing (first: {', '.join(missing[:3])}); "
            "mend the paths, which are relative to the datalist."
        )
    return resolved


def read_datalist(path: str | PathLike[str]) -> dict[str, list[dict[str, Any]]]:
    """Reads every section of a datalist, with absolute paths; files need not be there.

    Raises:
        DatalistError: The datalist is missing, or an item is malformed.
    """
    path = Path(path).expanduser().resolve()
    content = _read_json(path)
    return {section: _resolve_all(content.get(section) or [], path, section) for section in SECTIONS}


def read_class_tables(path: str | PathLike[str]) -> dict[str, dict[str, str]]:
    """The class names that a datalist gives, by label id: `{"nuclei_classes": {"1": "tumour", ...}}`.

    Raises:
        DatalistError: The datalist is missing, or has something else there.
    """
    content = _read_json(Path(path).expanduser().resolve())
    tables = {}
    for kind in CLASS_TABLES:
        table = content.get(kind)
        if table is not None and not isinstance(table, dict):
            raise DatalistError(f'{path}: expected {kind} as {{"1": "tumour", ...}}, a name for each label id.')
        if table:
            tables[kind] = {str(number): str(name) for number, name in table.items()}
    return tables


def fingerprint(path: str | PathLike[str]) -> str:
    """What a training sees of a datalist, as text that differs where the images, labels or resolutions do."""
    path = Path(path).expanduser().resolve()
    datalist = {section: _relative_all(read_datalist(path)[section], path.parent) for section in SECTIONS[:2]}
    digest = hashlib.sha256(json.dumps(datalist, sort_keys=True).encode()).hexdigest()[:8]
    return ", ".join(f"{len(items)} {section}" for section, items in datalist.items()) + f" images ({digest})"


def write_datalist(
    path: str | PathLike[str],
    datalist: dict[str, list[dict[str, Any]]],
    classes: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Writes a datalist with paths relative to it, and the names of classes by label id, where they are known."""
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    relative = {section: _relative_all(items, path.parent) for section, items in datalist.items()}
    with whole_file(path) as partial:
        partial.write_text(json.dumps({**(classes or {}), **relative}, indent=2) + "\n", encoding="utf-8")


def scan_folder(
    folder: str | PathLike[str],
    validation_fraction: float = 0.2,
    holdout: Collection[str] = (),
    seed: int = 0,
    datasets: Collection[str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Makes a datalist of a folder: `images/` beside `nuclei/`, `nuclei_type/` and `tissue/` with the same stems.

    Datasets may lie in sub-folders, each with such folders; the sub-folder's name becomes the item's `dataset`, and
    each dataset is split apart from the others.

    Args:
        folder: The folder to look in, to any depth.
        validation_fraction: Share of each dataset for validation, drawn with `seed`; not used with `holdout`.
        holdout: Stems to keep for validation instead of a random share.
        seed: Seed of the split.
        datasets: Names of the sub-folders to take; all when not given.

    Returns:
        `{"training": [...], "validation": [...]}` with absolute paths.

    Raises:
        DatalistError: No labelled image was found, or a name of `holdout` or `datasets` does not exist.
    """
    check_share(validation_fraction)
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        raise DatalistError(f"{folder} is not a folder; expected one that holds images/ and label folders.")
    roots = list(_dataset_roots(folder))
    if absent := set(datasets or ()) - {root.name for root in roots}:
        raise DatalistError(f"{folder} has no sub-folder with images/ named {', '.join(sorted(absent))}.")
    chosen_roots = [root for root in roots if datasets is None or root.name in datasets]
    found = {root: items for root in chosen_roots if (items := list(_scan_dataset(root, folder)))}
    if not found:
        raise DatalistError(
            f"No labelled image below {folder}; expected images/ beside "
            f"{', '.join(names[0] for names in _FOLDERS.values())} with the same file stems."
        )
    check_holdout(holdout, [item for items in found.values() for item in items])
    parts = [split(items, validation_fraction, holdout, seed) for items in found.values()]
    return {section: [item for part in parts for item in part[section]] for section in ("training", "validation")}


def split(
    items: Sequence[dict[str, Any]], validation_fraction: float = 0.2, holdout: Collection[str] = (), seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Divides the items of one dataset into `training` and `validation`; see `scan_folder`."""
    if holdout:
        chosen = {i for i, item in enumerate(items) if stem_of(item[keys.IMAGE]) in holdout}
    else:
        share = min(round(len(items) * validation_fraction), len(items) - 1)
        chosen = set(random.Random(seed).sample(range(len(items)), share))
    return {
        "training": [item for i, item in enumerate(items) if i not in chosen],
        "validation": [item for i, item in enumerate(items) if i in chosen],
    }


def check_share(validation_fraction: float) -> None:
    """Refuses a share for validation that leaves nothing for training."""
    if not 0 <= validation_fraction < 1:
        raise DatalistError(f"Expected a validation share from 0 to below 1, got {validation_fraction}.")


def check_holdout(holdout: Collection[str], items: Iterable[dict[str, Any]]) -> None:
    """Refuses names to hold out that no image has."""
    if unknown := set(holdout) - {stem_of(item[keys.IMAGE]) for item in items}:
        raise DatalistError(f"Names to hold out that no image has: {', '.join(sorted(unknown))}.")


def join(datalist: dict[str, list[dict[str, Any]]], others: Iterable[str | PathLike[str]]) -> None:
    """Adds the training items of other datalists to those of `datalist`; their validation items stay out.

    Raises:
        DatalistError: A datalist cannot be used, or has an image that is there already: it would count twice, or be
            trained on and validated by.
    """
    known = {item[keys.IMAGE] for items in datalist.values() for item in items}
    for other in others:
        items = load_datalist(other, "training")
        if twice := sorted(known & {item[keys.IMAGE] for item in items}):
            raise DatalistError(f"{other}: {len(twice)} images are listed already (first: {twice[0]}); list each once.")
        datalist["training"] += items
        known |= {item[keys.IMAGE] for item in items}


def _dataset_roots(folder: Path) -> Iterator[Path]:
    for images in sorted(folder.rglob("images")):
        if images.is_dir():
            yield images.parent


def _scan_dataset(root: Path, top: Path) -> Iterator[dict[str, Any]]:
    labels = {
        key: {stem_of(p): p for name in reversed(names) for p in sorted((root / name).glob("*")) if _is_label(p)}
        for key, names in _FOLDERS.items()
    }
    # NAME_type beside NAME_inst in one folder
    labels[keys.TYPES] |= {stem: p for stem, p in labels[keys.INSTANCES].items() if stem.endswith("_type")}
    for image in sorted((root / "images").iterdir()):
        if suffix_of(image) not in IMAGE_SUFFIXES:
            continue
        item: dict[str, Any] = {keys.IMAGE: str(image)}
        for key, files in labels.items():
            for ending in _STEM_SUFFIXES[key]:
                if stem_of(image) + ending in files:
                    item[key] = str(files[stem_of(image) + ending])
        if any(key in item for key in keys.LABELS):
            yield {**item, keys.DATASET: root.name if root != top else top.name}


def _is_label(path: Path) -> bool:
    return suffix_of(path) in LABEL_SUFFIXES


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatalistError(f"Datalist not found: {path}; `coseg datalist FOLDER` makes one.")
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise DatalistError(f"{path} is not valid JSON ({error}); expected lists {', '.join(SECTIONS)}.") from error
    return content if isinstance(content, dict) else {}


def _resolve_all(items: list[Any], path: Path, section: str) -> list[dict[str, Any]]:
    return [_resolve(item, path.parent, f"{path}, {section} item {i}") for i, item in enumerate(items)]


def _resolve(item: Any, folder: Path, where: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get(keys.IMAGE), str):
        raise DatalistError(f"{where}: expected an object with a path under 'image', got {item!r}.")
    unknown = set(item) - {keys.IMAGE, *keys.LABELS, keys.MPP, keys.DATASET}
    if unknown:
        raise DatalistError(
            f"{where}: unknown keys {sorted(unknown)}; expected image, instances, types, tissue, mpp, dataset."
        )
    return {**item, **{key: os.path.normpath(folder / item[key]) for key in _path_keys(item)}}


def _path_keys(item: dict[str, Any]) -> list[str]:
    return [key for key in (keys.IMAGE, *keys.LABELS) if key in item]


def _relative_all(items: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    return [{**item, **{key: _relative(item[key], folder) for key in _path_keys(item)}} for item in items]


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(path).resolve(), folder)).as_posix()
