"""Slides that were annotated by regions become tiles, label maps and a datalist that names its classes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coseg_bundle import keys
from coseg_bundle.atomic import NoRoomError, rename_aside
from coseg_bundle.classes import ClassMap
from coseg_bundle.data.classes import class_names_of, table_of
from coseg_bundle.data.datalist import (
    DatalistError,
    check_holdout,
    check_share,
    keep_sections,
    put_aside,
    read_datalist,
    sections_in,
    split,
    write_datalist,
)
from coseg_bundle.data.images.files import composed, first_line, spares_others, stem_of
from coseg_bundle.data.labels.drawn import SUFFIXES, ending_of
from coseg_bundle.data.listing import RECORDS, listed
from coseg_bundle.service.images import open_image
from coseg_bundle.service.training_data import Item, Labelled, items_of
from coseg_bundle.settings.values import SAME_SCALE


@dataclass(frozen=True)
class CutOut:
    """What became of a folder of annotated slides.

    Attributes:
        datalist: Items by section, with absolute paths.
        skipped: A sentence for each file that could not be used.
        notes: A sentence where regions of one slide are in both sections, where a former datalist was renamed, and
            where tiles say nothing about tissue or nuclei.
    """

    datalist: dict[str, list[Item]]
    skipped: list[str]
    notes: list[str]


def cut_out(
    folder: Path,
    dest: Path,
    tissue_classes: ClassMap | None,
    nuclei_classes: ClassMap | None,
    mpp: float = 0.25,
    validation_fraction: float = 0.2,
    holdout: Collection[str] = (),
    seed: int = 0,
    anew: bool = False,
) -> CutOut:
    """Writes a tile with its labels for each annotated region below `dest`, and a datalist of them.

    `NAME.geojson` (QuPath's; ASAP's XML and DSA's JSON too) is about the slide `NAME` or `NAME.*` beside it. An
    annotation of the class `Region*` bounds a part that was annotated completely: what no other annotation covers in it
    is background, of tissue where a tissue region touches it, of nuclei where a nucleus does, and where one kind of
    classes alone is named. Without any, only what was drawn counts. All regions of a slide go to training, or all to
    validation; those of a single slide are divided, where they do not overlap.

    Args:
        folder: The slides, with their annotations beside them.
        dest: Gets `slides/NAME/` and `datalist.json`.
        tissue_classes: Names of the tissue classes that were drawn, background first; None where none was.
        nuclei_classes: Names of the nuclei classes, background first; None where none was.
        mpp: Microns per pixel of the tiles.
        validation_fraction: Share of the slides for validation, drawn with `seed`; not used with `holdout`.
        holdout: Names of the slides for validation, with their suffixes or without.
        seed: Seed of the split.
        anew: Whether slides are divided anew; else those that a datalist in `dest` lists stay in their sections, and
            so do those that cannot be used this time.

    Raises:
        DatalistError: No classes are named, no slide can be used, two files of annotations are about one, the split is
            impossible, or a datalist in `dest` has other classes by the same ids, or tiles of another resolution, which
            other datalists may list, or cannot be read.
        NoRoomError: The disk is full; a datalist in `dest` stays as it was.
    """
    if tissue_classes is None and nuclei_classes is None:
        raise DatalistError("Name the classes that were drawn with --tissue-classes or --nuclei-classes.")
    check_share(validation_fraction)
    tables = {"tissue_classes": tissue_classes, "nuclei_classes": nuclei_classes}
    named = {kind: table_of(classes.names) for kind, classes in tables.items() if classes}
    path = dest / "datalist.json"
    found, failed = _labelled(folder)
    _held_out(holdout, {entry.image_id: entry.image for entry in found}, failed)
    former = _former_tiles(path, named, mpp, found)
    slides: dict[str, list[list[Item]]] = {}
    skipped: list[str] = []
    for entry in found:
        part = dest / "slides" / entry.image_id
        try:
            tiles = items_of(entry, part, tissue_classes, nuclei_classes, mpp)
        except NoRoomError:
            raise  # no fault of the slide
        except Exception as error:
            if not spares_others(error):
                raise
            reason = first_line(error)
            reason = reason if entry.label.name in reason else f"{entry.label.name}: {reason}"
            failed.append((entry.image_id, reason))
            continue
        before = former.get(entry.image_id, [])
        slides[entry.image_id] = [[_listed(item, before) for item in group] for group in tiles.groups()]
        skipped += (f"{entry.label.name}: {sentence}" for sentence in tiles.skipped)
    if not slides:
        reasons = " ".join(reason for _, reason in failed[:3])
        reasons = reasons or "Expected NAME.geojson beside the slide NAME, found none; copy the annotations there."
        raise DatalistError(f"No annotated slide in {folder} can be used. {reasons}")
    skipped = [*_left_out(failed, former, slides), *skipped]
    images = {entry.image_id: entry.image for entry in found if entry.image_id in slides}
    held = _held_out(holdout, images, failed)
    datalist = _divided(slides, validation_fraction, held, seed)
    notes: list[str] = []
    if not anew:
        datalist, notes = _kept(path, datalist, slides)
    notes += put_aside(path, datalist, named)
    write_datalist(path, datalist, named)
    every = [item for items in datalist.values() for item in items]
    if len(slides) == 1:
        notes += _of_single(slides, all(datalist.values()))
    listed_before = {item[keys.IMAGE] for items in former.values() for item in items}
    if gone := sorted(listed_before - {item[keys.IMAGE] for item in every}):
        notes.append(
            f"{len(gone)} tiles of before are not in the list any more (first: {gone[0]}): they stay, since other "
            "datalists may list them"
        )
    notes += _unknown_sizes([name for name, [[first, *_], *_] in slides.items() if keys.MPP not in first])
    if len(named) == 2:
        notes += _silent(every)
    return CutOut(datalist, skipped, notes)


def _left_out(
    failed: Sequence[tuple[str, str]], former: Mapping[str, list[Item]], slides: dict[str, list[list[Item]]]
) -> list[str]:
    """A sentence for each slide that failed; those that were listed keep their tiles, which are put into `slides`.

    One that was trained on would be new when it is mended, and might be validated by.
    """
    sentences = []
    for name, reason in failed:
        there = [item for item in former.get(name, []) if Path(item[keys.IMAGE]).is_file()]
        if there and name not in slides:
            slides[name] = [there]
            reason = f"{reason.rstrip('.')}; its {len(there)} tiles of before stay in the list"
        sentences.append(reason)
    return sentences


def _of_single(slides: Mapping[str, Sequence[Sequence[Item]]], divided: bool) -> list[str]:
    """A sentence on the regions of a single slide, if there are several."""
    [(name, groups)] = slides.items()
    if divided:
        return [
            f"{name} is the only slide, so its regions are divided: validation sees no other slide than training, and "
            "its scores say little of others"
        ]
    if len(groups) == 1 and len(groups[0]) > 1:
        return [f"{name} is the only slide, and its regions overlap: they are not divided"]
    return []


def _unknown_sizes(names: list[str]) -> list[str]:
    """A sentence on slides whose resolution is not known."""
    if not names:
        return []
    return [
        f"{len(names)} slides do not say the size of their pixels (first: {names[0]}): their tiles are not resampled, "
        "and the datalist has no mpp for them; write it there where you know it"
    ]


def _silent(items: list[Item]) -> list[str]:
    """A sentence where tiles say nothing about a task."""
    lack = {"nuclei": keys.INSTANCES, "tissue": keys.TISSUE}
    counts = {task: sum(key not in item for item in items) for task, key in lack.items()}
    said = " and ".join(f"{count} hold no {task}" for task, count in counts.items() if count)
    if not said:
        return []
    return [f"of {len(items)} tiles {said}: they say nothing about it, and not that there is none"]


def _former_tiles(
    path: Path, named: Mapping[str, Mapping[str, str]], mpp: float, found: Sequence[Labelled]
) -> dict[str, list[Item]]:
    """Tiles that a datalist lists, by slide; those that are written once more must mean the same to others that list
    them.

    Raises:
        DatalistError: An id has another name there, its tiles another resolution, or it cannot be read.
    """
    if not path.is_file():
        return {}
    remedy = "give another --output, or remove the folder"
    for kind, table in named.items():
        former = table_of(class_names_of(path, kind, ()))
        if moved := [number for number, name in table.items() if former.get(number, name) != name]:
            raise DatalistError(
                f"{path}: expected its {kind}, since other datalists may list the label maps beside it, got "
                f"{moved[0]}={table[moved[0]]} for {moved[0]}={former[moved[0]]}; name them in its order, new ones at "
                f"the end, or {remedy}."
            )
    tiles: dict[str, list[Item]] = {}
    for item in (item for items in read_datalist(path).values() for item in items):
        if item.get(keys.DATASET) == "regions":
            tiles.setdefault(_slide_of(item), []).append(item)
    images = {entry.image_id: entry.image for entry in found}
    for name, items in tiles.items():
        ours = [item for item in items if Path(item[keys.IMAGE]).is_relative_to(path.resolve().parent / "slides")]
        differ = [of for item in ours if (of := item.get(keys.MPP)) and abs(of / mpp - 1) > SAME_SCALE]
        if differ and not (name in images and _says_no_mpp(images[name], mpp)):
            raise DatalistError(
                f"{path}: expected tiles at {differ[0]} microns per pixel, as other datalists may list them, got --mpp "
                f"{mpp}; {remedy}."
            )
    return tiles


def _says_no_mpp(image: Path, mpp: float) -> bool:
    """Whether tiles of a slide are its own pixels, whatever the resolution asked for."""
    try:
        with open_image(image, None, mpp) as slide:
            return slide.known_mpp is None
    except Exception as error:
        if not spares_others(error):
            raise
        return False


def _listed(tile: Item, before: Sequence[Item]) -> Item:
    """A tile as the datalist has it: where its slide says no resolution, with the one that a person wrote there."""
    item = {**tile, keys.DATASET: "regions"}
    folder = Path(item[keys.IMAGE]).parent.resolve()
    written = {
        other[keys.IMAGE]: other[keys.MPP]
        for other in before
        if keys.MPP in other and Path(other[keys.IMAGE]).parent.resolve() == folder  # a former version made others up
    }
    every = set(written.values())
    of = written.get(str(Path(item[keys.IMAGE]).resolve()), every.pop() if len(every) == 1 else None)
    return {keys.MPP: of, **item} if of else item


def _slide_of(item: Mapping[str, Any]) -> str:
    """The name of the slide that a tile is of."""
    folder = Path(item[keys.IMAGE]).parent
    if folder.parent.name == "regions":  # a former version counted the slides: regions/000_NAME
        return folder.name.partition("_")[2]
    return folder.name


def _units(slides: Mapping[str, Sequence[Sequence[Item]]]) -> Callable[[Mapping[str, Any]], str]:
    """What stays in one section: a slide, or regions that overlap where a single slide is divided."""
    alone = len(slides) == 1
    units = {
        item[keys.IMAGE]: group[0][keys.IMAGE] if alone else f"{name}.tif"
        for name, groups in slides.items()
        for group in groups
        for item in group
    }

    def unit(item: Mapping[str, Any]) -> str:
        path = str(Path(item[keys.IMAGE]))
        return units.get(path, path if alone else f"{_slide_of(item)}.tif")

    return unit


def _kept(
    path: Path, datalist: dict[str, list[Item]], slides: Mapping[str, Sequence[Sequence[Item]]]
) -> tuple[dict[str, list[Item]], list[str]]:
    """Leaves slides in the sections of a datalist that is there, or says that none of them can be kept.

    A slide that was divided cannot where it is one of several now, nor where its tiles had other names.
    """
    unit = _units(slides)
    former = {section: items for section, items in read_datalist(path).items() if items} if path.is_file() else {}
    known = any(_slide_of(item) in slides for items in former.values() for item in items)
    now = {unit(item) for items in datalist.values() for item in items}
    if len(former) > 1 and known and not now & sections_in(path, unit).keys():
        aside = rename_aside(path).name
        return datalist, [
            f"{path}: the sections of before cannot be kept, all is divided anew, and validation may see what was "
            f"trained on; it is {aside} now"
        ]
    return keep_sections(path, datalist, unit)


def _held_out(holdout: Collection[str], images: Mapping[str, Path], failed: Sequence[tuple[str, str]]) -> list[str]:
    """Slides that are meant by their name in the list, their file's or its stem.

    Raises:
        DatalistError: A name is that of none; why others were left out follows.
    """
    names = {name: {name, stem_of(image), composed(image.name)} for name, image in images.items()}
    asked = set(map(composed, holdout))
    try:
        check_holdout(asked - set().union(*names.values()), [])
    except DatalistError as error:
        raise DatalistError(" ".join((str(error), *(f"Left out: {reason}" for _, reason in failed)))) from None
    return [name for name, of_slide in names.items() if asked & of_slide]


def _labelled(folder: Path) -> tuple[list[Labelled], list[tuple[str, str]]]:
    """Annotations with their slides, and the names of those that have none, each with a sentence.

    Raises:
        DatalistError: There is no such folder, or two files are about one slide.
    """
    if not folder.is_dir():
        raise DatalistError(f"{folder} is not a folder; give the one with the slides and their annotations.")
    found: list[Labelled] = []
    failed: list[tuple[str, str]] = []
    for path in listed(folder, (*SUFFIXES, ".gz")).files:
        if path.name in RECORDS or not (ending := ending_of(path)):
            continue
        name = composed(path.name[: -len(ending)])
        beside = [p for p in sorted(path.parent.iterdir()) if p.is_file() and not ending_of(p)]
        slides = [p for p in beside if composed(p.name) == name] or [p for p in beside if composed(p.stem) == name]
        if len(slides) != 1:
            what = f"several ({', '.join(p.name for p in slides)})" if slides else "none"
            failed.append((name, f"{path}: expected one slide or image named {name} beside it, found {what}."))
            continue
        if other := next((entry.label for entry in found if entry.image == slides[0]), None):
            raise DatalistError(
                f"{slides[0]}: expected one file of annotations, got {other.name} and {path.name}; remove one of them."
            )
        found.append(Labelled(name, slides[0], path))
    return found, failed


def _divided(
    slides: dict[str, list[list[Item]]], fraction: float, holdout: Collection[str], seed: int
) -> dict[str, list[Item]]:
    if len(slides) == 1 and not holdout:
        [groups] = slides.values()
        slides = {str(number): [group] for number, group in enumerate(groups)}
    stand_ins = [{keys.IMAGE: f"{name}.tif"} for name in slides]
    parts = split(stand_ins, _at_least_one(fraction, len(slides)), holdout, seed)
    return {
        section: [item for one in chosen for group in slides[one[keys.IMAGE].removesuffix(".tif")] for item in group]
        for section, chosen in parts.items()
    }


def _at_least_one(fraction: float, count: int) -> float:
    """The share of so many that keeps one at least, where any is wanted."""
    return max(fraction, 1 / count) if fraction and count > 1 else fraction
