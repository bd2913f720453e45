"""List images and labels of a folder for training.

The folder holds images/ beside nuclei/ (instances), nuclei_type/ and tissue/ with the same file stems, itself or in a
sub-folder for each dataset. A part of each dataset is kept for validation. Images that a datalist in its place lists
stay in their sections, unless --validation, --seed or --holdout say how to divide.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coseg_bundle.commands.arguments import add_class_names, positive_number

_JOIN_LATER = (
    "--also and --datasets are for --layout folders; convert first, then join the datalists: `coseg datalist "
    "DIR/datalist.json --also OTHER/datalist.json --output FILE`."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder with images and masks; or a datalist, to join others to it"
    )
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FILE",
        help="file to write; FOLDER/datalist.json if not given; with --layout a folder",
    )
    parser.add_argument(
        "--layout",
        choices=[
            *("folders", "monuseg", "glas", "consep", "lizard", "pannuke", "qupath", "hovernet", "points", "labels"),
            "regions",
        ],
        default="folders",
        help="how FOLDER is laid out (default: folders, as above); others are converted into the folder --output. "
        "labels: NAME.geojson, NAME.json (HoVer-Net, COCO, labelme), NAME_cp_masks.tif, ... of images anywhere in it. "
        "regions: slides with NAME.geojson of QuPath, in which Region* bounds what was annotated; name the classes",
    )
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="take only these sub-folders")
    parser.add_argument("--validation", type=float, help="share kept for validation (default: 0.2)")
    parser.add_argument(
        "--holdout", nargs="+", default=[], metavar="STEM", help="keep exactly these images for validation"
    )
    parser.add_argument(
        "--also",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="add the training items (only these) of these datalists",
    )
    add_class_names(parser, "written into the datalist")
    parser.add_argument(
        "--mpp", type=positive_number, default=0.25, help="of --layout regions: microns per pixel of the tiles (0.25)"
    )
    parser.add_argument("--seed", type=int, help="seed of the split (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Writes the datalist and says what is in it."""
    from coseg_bundle.data.classes import KINDS, alike, join, names_by_id, table_of
    from coseg_bundle.data.datalist import check_replaced, keep_sections, write_datalist

    if arguments.layout == "regions":
        return _cut_out(arguments)
    if arguments.layout != "folders":
        return _convert(arguments)
    notes: list[str] = []
    datalist, names = _listed(arguments, notes)
    given = {kind: names_by_id(texts, kind) for kind in KINDS if (texts := getattr(arguments, kind))}
    names |= given
    notes += join(datalist, names, arguments.also) + alike(names)
    output = arguments.output or arguments.folder / "datalist.json"
    classes = {kind: table_of(of_kind) for kind, of_kind in names.items()}
    divided = _divides(arguments)
    if arguments.folder.suffix != ".json" and not divided:
        datalist, kept = keep_sections(output, datalist)
        notes += kept
    check_replaced(output, datalist, classes, {*given, *(("training", "validation") if divided else ())})
    write_datalist(output, datalist, classes)
    for sentence in notes:
        print(sentence)
    _say_resolutions(datalist)
    _print_sections(datalist)
    print(f"Written to {output}")
    return 0


def _listed(arguments: argparse.Namespace, notes: list[str]) -> tuple[dict[str, list[Any]], dict[str, list[str]]]:
    """Items by section and class names by kind, of a folder or of a datalist."""
    from coseg_bundle.data.classes import KINDS, class_names_of
    from coseg_bundle.data.datalist import read_datalist, scan_folder

    folder = arguments.folder
    if folder.suffix == ".json":
        if arguments.output is None or _divides(arguments) or arguments.datasets is not None:
            raise ValueError(
                "A datalist is joined as it is divided: give --output, and no --validation, --seed, --holdout or "
                "--datasets."
            )
        datalist = {name: items for name, items in read_datalist(folder).items() if items or name != "testing"}
        return datalist, {kind: names for kind in KINDS if (names := class_names_of(folder, kind, ()))}
    dropped: list[str] = []
    datalist = scan_folder(folder, **_split(arguments), datasets=arguments.datasets, dropped=dropped)
    notes += (f"not in the list: {sentence}" for sentence in dropped)
    return datalist, {}


def _divides(arguments: argparse.Namespace) -> bool:
    """Whether a person says how the images are to be divided."""
    return bool(arguments.holdout) or arguments.validation is not None or arguments.seed is not None


def _split(arguments: argparse.Namespace) -> dict[str, Any]:
    """How the images are divided, as `split` takes it."""
    share = 0.2 if arguments.validation is None else arguments.validation
    return {"validation_fraction": share, "holdout": arguments.holdout, "seed": arguments.seed or 0}


def _print_sections(datalist: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    from coseg_bundle import keys

    _say_both(datalist)
    for section, items in datalist.items():
        labels = ", ".join(f"{sum(key in item for item in items)} with {key}" for key in keys.LABELS)
        print(f"{section}: {len(items)} images ({labels})")
    if not datalist["training"]:
        print("No image is left to train on, which a training needs: name fewer with --holdout, or label others.")
    if not datalist["validation"]:
        remedy = "name some with --holdout" if len(datalist["training"]) > 1 else "label a second image"
        print(f"No image is kept for validation, which a training needs: {remedy}.")


def _say_resolutions(datalist: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    from coseg_bundle.data.datalist import said_of_resolutions

    for sentence in said_of_resolutions(item for items in datalist.values() for item in items):
        print(sentence)


def _say_both(datalist: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    from coseg_bundle.data.classes import said_of_both

    for section, items in datalist.items():
        if section != "training":
            for sentence in said_of_both(datalist["training"], items, section):
                print(sentence)


def _cut_out(arguments: argparse.Namespace) -> int:
    from coseg_bundle.classes import ClassMap
    from coseg_bundle.data.classes import KINDS, names_by_id
    from coseg_bundle.service.annotated_slides import cut_out

    if arguments.output is None:
        raise ValueError("--layout regions writes tiles and label maps: name a folder for them with --output.")
    if arguments.also or arguments.datasets:
        raise ValueError(_JOIN_LATER)
    given = {kind: getattr(arguments, kind) for kind in KINDS}
    named: dict[str, Any] = {
        kind: ClassMap(names_by_id(names, kind)) if names else None for kind, names in given.items()
    }
    done = cut_out(
        arguments.folder,
        arguments.output,
        **named,
        mpp=arguments.mpp,
        **_split(arguments),
        anew=_divides(arguments),
    )
    for sentence in done.notes:
        print(sentence)
    for sentence in done.skipped:
        print(f"skipped: {sentence}")
    _print_sections(done.datalist)
    print(f"Written to {arguments.output / 'datalist.json'}")
    return 1 if done.skipped else 0


def _convert(arguments: argparse.Namespace) -> int:
    from coseg_bundle.data.classes import names_by_id
    from coseg_bundle.data.datalist import read_datalist
    from coseg_bundle.data.importers import convert

    if arguments.output is None:
        raise ValueError(f"--layout {arguments.layout} writes label maps: name a folder for them with --output.")
    nuclei = arguments.nuclei_classes if arguments.layout == "labels" else None
    if (arguments.nuclei_classes and not nuclei) or arguments.tissue_classes:
        raise ValueError(
            f"--layout {arguments.layout} knows its classes; change the names in the datalist that it writes."
        )
    if arguments.also or arguments.datasets:
        raise ValueError(_JOIN_LATER)
    converted = convert(
        arguments.layout,
        arguments.folder,
        arguments.output,
        **_split(arguments),
        nuclei_classes=names_by_id(nuclei, "nuclei_classes") if nuclei else (),
    )
    for sentence in converted.notes:
        print(sentence)
    for sentence in converted.skipped:
        print(f"skipped: {sentence}")
    datalist = read_datalist(arguments.output / "datalist.json")
    _say_resolutions(datalist)
    _print_sections(datalist)
    print(f"{len(converted.items)} images written to {arguments.output}; its datalist.json lists them")
    return 1 if converted.skipped else 0
