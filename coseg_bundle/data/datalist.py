"""Datalists: which images there are, with which labels, for training, validation and testing."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from coseg_bundle import keys
from coseg_bundle.atomic import rename_aside, whole_file
from coseg_bundle.data.images import (
    IMAGE_SUFFIXES,
    LABEL_SUFFIXES,
    ImageFileError,
    composed,
    read_image,
    stem_of,
    suffix_of,
)
from coseg_bundle.data.listing import folders, listed
from coseg_bundle.fingerprint import fingerprint as file_fingerprint
from coseg_bundle.fingerprint import is_junk

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

_OTHER_LABELS = (".geojson", ".json", ".xml", ".mat", ".gz")
_LOSSY = (".jpg", ".jpeg")
_WITH_RESOLUTION = (".tif", ".tiff", ".nii", ".nii.gz")
"""Images that say theirs in a way that is read."""

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
        raise DatalistError(
            f"{path} has no items under {section!r}; expected a list of {{'image': ..., labels}}: write some there, or "
            "keep some of a small set with `coseg datalist --holdout`."
        )
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


def contents(path: str | PathLike[str]) -> str:
    """What is in the images and labels of a training, as text that differs where one was edited, wherever they lie.

    Raises:
        DatalistError: A file is missing, or a section is empty.
    """
    items = load_datalist(path, "training") + load_datalist(path, "validation")
    files = dict.fromkeys(item[key] for item in items for key in _path_keys(item))
    return hashlib.sha256("".join(file_fingerprint(Path(file)) for file in files).encode()).hexdigest()[:8]


def write_datalist(
    path: str | PathLike[str],
    datalist: dict[str, list[dict[str, Any]]],
    classes: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Writes a datalist with paths relative to it, and the names of classes by label id, where they are known.

    What else a datalist in its place says (its name, notes) stays.

    Raises:
        DatalistError: A file of another kind is there.
    """
    path = Path(path).resolve()
    try:
        there = _read_json(path) if path.is_file() else {}
    except DatalistError:
        there = None
    if there is None or (path.is_file() and not _is_datalist(there)):
        ending = "" if path.suffix == ".json" else ", ending in .json"
        raise DatalistError(f"{path} is there and is no datalist; give another name{ending}.")
    others = {key: value for key, value in there.items() if key not in (*SECTIONS, *CLASS_TABLES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    relative = {section: _relative_all(items, path.parent) for section, items in datalist.items()}
    with whole_file(path) as partial:
        partial.write_text(json.dumps({**others, **(classes or {}), **relative}, indent=2) + "\n", encoding="utf-8")


def said_of_resolutions(items: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """A sentence where some images say how large their pixels are, and others do not.

    Args:
        items: Items of a datalist, of all sections.
    """
    sizes = [(item[keys.IMAGE], item.get(keys.MPP)) for item in items]
    silent = [image for image, mpp in sizes if mpp is None]
    if len(silent) in (0, len(sizes)):
        return ()
    return (
        f"{len(silent)} of {len(sizes)} images have no mpp (first: {silent[0]}): they are not resampled, and the "
        "others are; write it into the datalist where you know it",
    )


def keep_sections(
    path: str | PathLike[str],
    datalist: Mapping[str, Sequence[dict[str, Any]]],
    unit: Callable[[Mapping[str, Any]], str] | None = None,
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Leaves each image in the section in which a datalist that is there has it, if that one is divided.

    Args:
        path: Where the new one goes.
        datalist: Its items, with absolute paths.
        unit: What stays together in one section, as a file name; each image (its real path) where not given.

    Returns:
        The new one, and a sentence where images are in other sections than they were to be, or are not listed any more.
    """
    unit = unit or _place
    before = sections_in(path, unit)
    kept: dict[str, list[dict[str, Any]]] = {
        section: [] for section in SECTIONS if section in {*datalist, *before.values()}
    }
    now = {unit(item): section for section, items in datalist.items() for item in items}
    for section, items in datalist.items():
        for item in items:
            kept[before.get(unit(item), section)].append(item)
    moved = any(before.get(place, section) != section for place, section in now.items())
    gone = {place: section for place, section in before.items() if place not in now}
    if not moved and not gone:
        return kept, []
    new = {place: section for place, section in now.items() if place not in before}
    order = {image: number for number, image in enumerate(before)}
    for items in kept.values():  # a training sees them in this order
        items.sort(key=lambda item: order.get(unit(item), len(order)))
    sizes = ", ".join(f"{section}: {len(items)}" for section, items in kept.items())
    changes = (("new", new), ("not listed any more", gone))
    also = "".join(f"; {what}: {_first(f'{stem_of(p)} ({s})' for p, s in of.items())}" for what, of in changes if of)
    return kept, [f"{path} is divided already, and images that it lists stay in their sections ({sizes}){also}"]


def check_replaced(
    path: str | PathLike[str],
    datalist: dict[str, list[dict[str, Any]]],
    classes: Mapping[str, Mapping[str, str]],
    given: Collection[str] = (),
) -> None:
    """Refuses to write a datalist in place of one that says more: names of classes, an image's `mpp` or section.

    Args:
        path: Where the new one goes.
        datalist: Its items, with absolute paths.
        classes: Its class names by label id.
        given: Tables of names, and sections, that a person has just given: they replace others.

    Raises:
        DatalistError: Something would be lost, or what is there is no datalist.
    """
    path = Path(path).expanduser().resolve()
    if not path.is_file():
        return
    try:
        if not _is_datalist(_read_json(path)):
            raise DatalistError(f"{path} is there and is no datalist.")
        tables, written = read_class_tables(path), read_datalist(path)
    except DatalistError as error:
        raise DatalistError(f"{error} It is not replaced: remove it, or give another --output.") from error
    lost = []
    for kind, table in tables.items():
        new = classes.get(kind, {})
        if gone := [f"{i}={name}" for i, name in table.items() if kind not in given and new.get(i) != name]:
            lost.append(f"the {kind} {', '.join(gone)}")
    names = "give the names to the command, " if lost else ""
    known = {_place(item): item.get(keys.MPP) for items in datalist.values() for item in items}
    there = [item for items in written.values() for item in items if keys.MPP in item]
    differ = [item for item in there if known.get(_place(item), item[keys.MPP]) != item[keys.MPP]]
    if differ:
        lost.append(f"the mpp of {len(differ)} images (first: {differ[0][keys.MPP]} of {differ[0][keys.IMAGE]})")
    now = {_place(item): section for section, items in datalist.items() for item in items}
    before = {image: section for image, section in sections_in(path, _place).items() if section not in given}
    if moved := [image for image, section in before.items() if now.get(image, section) != section]:
        lost.append(f"the section of {len(moved)} images (first: {before[moved[0]]} of {moved[0]})")
    if lost:
        raise DatalistError(
            f"{path} is there, and the new datalist would lose {' and '.join(lost)}; {names}give another --output, or "
            "remove the file."
        )


def _is_datalist(content: Mapping[str, Any]) -> bool:
    return bool(content.keys() & {*SECTIONS, *CLASS_TABLES})


def sections_in(path: str | PathLike[str], unit: Callable[[Mapping[str, Any]], str]) -> dict[str, str]:
    """The section of each unit of items that has one, of a datalist that is divided; of any other, nothing."""
    try:
        sections = {section: items for section, items in read_datalist(path).items() if items}
    except DatalistError:  # there is none, or it is refused where it would be replaced
        return {}
    if len(sections) < 2:
        return {}
    places = {(unit(item), section) for section, items in sections.items() for item in items}
    often = Counter(place for place, _ in places)  # one that two sections list belongs to neither
    return {place: section for section, items in sections.items() for place in map(unit, items) if often[place] == 1}


def _place(item: Mapping[str, Any]) -> str:
    return os.path.realpath(item[keys.IMAGE])


def put_aside(
    path: Path, datalist: dict[str, list[dict[str, Any]]], classes: Mapping[str, Mapping[str, str]]
) -> list[str]:
    """Renames what is in the place of a datalist and says more than the new one, or is none; returns a sentence on it.

    For commands that write label maps anew, whose ids may mean others.

    Args:
        path: Where the new one goes.
        datalist: Its items, with absolute paths.
        classes: Its class names by label id.
    """
    try:
        check_replaced(path, datalist, classes)
    except DatalistError:
        return [f"{path}: names, mpp or sections in it are not in the new one; it is {rename_aside(path).name} now"]
    return []


def scan_folder(
    folder: str | PathLike[str],
    validation_fraction: float = 0.2,
    holdout: Collection[str] = (),
    seed: int = 0,
    datasets: Collection[str] | None = None,
    dropped: list[str] | None = None,
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
        dropped: Gets a sentence on what was left out: images without a label, labels without an image, files of one
            name, hidden files.

    Returns:
        `{"training": [...], "validation": [...]}` with absolute paths.

    Raises:
        DatalistError: No labelled image was found, or a name of `holdout` or `datasets` does not exist.
    """
    check_share(validation_fraction)
    folder = Path(folder).expanduser().resolve()
    if not folder.is_dir():
        raise DatalistError(f"{folder} is not a folder; expected one that holds images/ and label folders.")
    names = _dataset_names(folder)
    if absent := set(datasets or ()) - {*names.values(), *(root.name for root in names)}:
        raise DatalistError(f"{folder} has no sub-folder with images/ named {', '.join(sorted(absent))}.")
    chosen = {root: name for root, name in names.items() if datasets is None or {root.name, name} & set(datasets)}
    said: list[str] = []
    found = {root: items for root, name in chosen.items() if (items := _scan_dataset(root, name, said))}
    if dropped is not None:
        dropped += said
    if not found:
        kinds = ", ".join(names[0] for names in _FOLDERS.values())
        why = "".join(f" {sentence}." for sentence in said[:3])
        raise DatalistError(
            f"No labelled image below {folder}; expected images/ beside {kinds} with the same file stems.{why}"
        )
    check_holdout(holdout, [item for items in found.values() for item in items])
    parts = [split(items, validation_fraction, holdout, seed) for items in found.values()]
    return {section: [item for part in parts for item in part[section]] for section in ("training", "validation")}


def split(
    items: Sequence[dict[str, Any]], validation_fraction: float = 0.2, holdout: Collection[str] = (), seed: int = 0
) -> dict[str, list[dict[str, Any]]]:
    """Divides the items of one dataset into `training` and `validation`; see `scan_folder`."""
    if holdout:
        named = set(map(composed, holdout))
        chosen = {i for i, item in enumerate(items) if stem_of(item[keys.IMAGE]) in named}
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
    if unknown := set(map(composed, holdout)) - {stem_of(item[keys.IMAGE]) for item in items}:
        raise DatalistError(f"Names to hold out that no image has: {', '.join(sorted(unknown))}.")


def check_datasets(setting: str, named: Iterable[str], items: Iterable[Mapping[str, Any]]) -> None:
    """Refuses a setting by dataset that names one which no item has: it would be of no effect.

    Args:
        setting: Its name, for the sentence.
        named: The datasets that it names.
        items: Items of a datalist.

    Raises:
        DatalistError: A name is unknown.
    """
    known = {str(item.get(keys.DATASET, "")) for item in items}
    if unknown := sorted(set(named) - known):
        raise DatalistError(f"{setting} names unknown datasets {unknown}; the datalist has {sorted(known)}.")


def _dataset_names(folder: Path) -> dict[Path, str]:
    """Folders with `images/`, and what their datasets are called: by more of the path where two have one name."""
    roots = [images.parent for images in folders(folder, "images")]
    alike = Counter(root.name for root in roots)
    return {
        root: root.name if alike[root.name] == 1 or root == folder else root.relative_to(folder).as_posix()
        for root in roots
    }


def _scan_dataset(root: Path, dataset: str, dropped: list[str]) -> list[dict[str, Any]]:
    labels = {key: _labels_of(root, key, dropped) for key in _FOLDERS}
    # NAME_type beside NAME_inst in one folder
    labels[keys.TYPES] |= {stem: p for stem, p in labels[keys.INSTANCES].items() if stem.endswith("_type")}
    images = listed(root / "images", IMAGE_SUFFIXES)
    dropped += (f"{root / 'images'}: {note}" for note in images.notes)
    stems = Counter(stem_of(image) for image in images.files)
    items, unlabelled, used = [], [], set()
    for image in images.files:
        if stems[stem_of(image)] > 1:
            dropped.append(f"{image}: another image has its stem, and a label can be that of one; rename one of them")
            continue
        item: dict[str, Any] = {keys.IMAGE: str(image)}
        for key, files in labels.items():
            found = [label for ending in _STEM_SUFFIXES[key] if (label := files.get(stem_of(image) + ending))]
            if found:
                item[key] = str(found[-1])
                used |= set(found)
                dropped += (f"{other}: {found[-1].name} is the label of the same image" for other in found[:-1])
        if any(key in item for key in keys.LABELS):
            items.append({**item, **_resolution(image), keys.DATASET: dataset})
        else:
            unlabelled.append(image)
    dropped += _others_beside(root, stems)
    unused = sorted({label for files in labels.values() for label in files.values()} - used)
    for what, paths in (("images without a label", unlabelled), ("labels without an image", unused)):
        if paths:
            dropped.append(f"{root}: {len(paths)} {what}: {_first(path.name for path in paths)}")
    return items


def _others_beside(root: Path, stems: Collection[str]) -> list[str]:
    """Folders that may hold labels and are not looked at: their files are called as the images are."""
    looked_at = [root / name for name in ("images", *(name for names in _FOLDERS.values() for name in names))]
    looked_at = [place for place in looked_at if place.is_dir()]
    sentences = []
    for place in sorted(place for place in root.iterdir() if place.is_dir() and not is_junk(place.name)):
        if any(place.samefile(other) for other in looked_at):
            continue
        named = [path.name for path in listed(place, (*LABEL_SUFFIXES, *_LOSSY)).files if stem_of(path) in stems]
        if named:
            sentences.append(
                f"{place}: {len(named)} files that are called as images are: {_first(named)}; labels are looked for in "
                f"{', '.join(names[0] for names in _FOLDERS.values())}, so rename the folder if it holds some"
            )
    return sentences


def _resolution(image: Path) -> dict[str, float]:
    """What a file says of its resolution, as an item has it; what cannot be used is said where the image is read."""
    if suffix_of(image) not in _WITH_RESOLUTION:
        return {}
    try:
        mpp = read_image(image).square_mpp
    except ImageFileError:
        return {}
    return {keys.MPP: mpp} if mpp else {}


def _labels_of(root: Path, key: str, dropped: list[str]) -> dict[str, Path]:
    """Label files of one kind by stem; of two with one stem that in the preferred folder counts."""
    found: dict[str, Path] = {}
    for name in _FOLDERS[key]:
        if not (root / name).is_dir():
            continue
        of_folder = listed(root / name, (*LABEL_SUFFIXES, *_OTHER_LABELS, *_LOSSY))
        dropped += (f"{root / name}: {note}" for note in of_folder.notes)
        for suffixes, remedy in (
            (_OTHER_LABELS, "convert them with --layout labels"),
            (_LOSSY, "JPEG changes ids: save PNG or TIFF"),
        ):
            if others := [path.name for path in of_folder.files if suffix_of(path) in suffixes]:
                dropped.append(f"{root / name}: {len(others)} files that are no label maps: {_first(others)}; {remedy}")
        for path in of_folder.files:
            if suffix_of(path) in LABEL_SUFFIXES and (first := found.setdefault(stem_of(path), path)) != path:
                dropped.append(f"{path}: {first} is the label of the same image; keep one of them")
    return found


def _first(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DatalistError(f"Datalist not found: {path}; `coseg datalist FOLDER` makes one.")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DatalistError(f"{path} is not valid JSON ({error}); expected lists {', '.join(SECTIONS)}.") from error
    if not isinstance(content, dict):
        raise DatalistError(f"{path}: expected an object with lists {', '.join(SECTIONS)}, got {_brief(content)}.")
    for section in SECTIONS:
        if not isinstance(content.get(section) or [], list):
            raise DatalistError(f"{path}: expected a list under {section!r}, got {_brief(content[section])}.")
    return content


def _resolve_all(items: list[Any], path: Path, section: str) -> list[dict[str, Any]]:
    return [_resolve(item, path.parent, f"{path}, {section} item {i}") for i, item in enumerate(items)]


def _resolve(item: Any, folder: Path, where: str) -> dict[str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get(keys.IMAGE), str):
        raise DatalistError(f"{where}: expected an object with a path under 'image', got {_brief(item)}.")
    unknown = set(item) - {keys.IMAGE, *keys.LABELS, keys.MPP, keys.DATASET}
    if unknown:
        raise DatalistError(
            f"{where}: unknown keys {sorted(unknown)}; expected image, instances, types, tissue, mpp, dataset."
        )
    item = {key: value for key, value in item.items() if value is not None}  # JSON's null: not given
    for key in _path_keys(item):
        if not isinstance(item[key], str) or not item[key]:
            raise DatalistError(
                f"{where}: expected the path of a file under {key!r}, got {_brief(item[key])}; leave {key} out where "
                "there is none."
            )
    mpp = item.get(keys.MPP, 1)
    if not isinstance(mpp, int | float) or isinstance(mpp, bool) or not 0 < mpp < float("inf"):
        raise DatalistError(f"{where}: expected microns per pixel above 0 under 'mpp', got {_brief(mpp)}.")
    if not isinstance(item.get(keys.DATASET, ""), str):
        raise DatalistError(f"{where}: expected a name under 'dataset', got {_brief(item[keys.DATASET])}.")
    return {**item, **{key: os.path.normpath(folder / item[key]) for key in _path_keys(item)}}


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _path_keys(item: dict[str, Any]) -> list[str]:
    return [key for key in (keys.IMAGE, *keys.LABELS) if key in item]


def _relative_all(items: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    return [{**item, **{key: _relative(item[key], folder) for key in _path_keys(item)}} for item in items]


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(Path(path).resolve(), folder)).as_posix()
