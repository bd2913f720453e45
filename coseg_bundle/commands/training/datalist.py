"""List images and labels of a folder for training.

The folder holds images/ beside nuclei/ (instances), nuclei_type/ and tissue/ with the same file stems, itself or in a
sub-folder for each dataset. A part of each dataset is kept for validation.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with images and masks")
    parser.add_argument(
        "--output",
        "-o",
        type=Path,
        metavar="FILE",
        help="file to write; FOLDER/datalist.json if not given; with --layout a folder",
    )
    parser.add_argument(
        "--layout",
        choices=["folders", "monuseg", "glas", "consep", "lizard", "pannuke", "qupath", "hovernet", "points", "labels"],
        default="folders",
        help="how FOLDER is laid out (default: folders, as above); others are converted into the folder --output. "
        "labels: NAME.geojson, NAME.json (HoVer-Net, COCO, labelme), NAME_cp_masks.tif, ... of images anywhere in it",
    )
    parser.add_argument("--datasets", nargs="+", metavar="NAME", help="take only these sub-folders")
    parser.add_argument("--validation", type=float, default=0.2, help="share kept for validation (default: 0.2)")
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
    for kind in ("nuclei", "tissue"):
        parser.add_argument(
            f"--{kind}-classes",
            nargs="+",
            metavar="NAME",
            help=f"names of the label ids of {kind}, 0 (background) first, or ID=NAME; written into the datalist",
        )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Writes the datalist and says what is in it."""
    from coseg_bundle import keys
    from coseg_bundle.data.classes import KINDS, names_by_id
    from coseg_bundle.data.datalist import join, scan_folder, write_datalist

    if arguments.layout != "folders":
        return _convert(arguments)
    dropped: list[str] = []
    datalist = scan_folder(
        arguments.folder,
        arguments.validation,
        arguments.holdout,
        arguments.seed,
        datasets=arguments.datasets,
        dropped=dropped,
    )
    join(datalist, arguments.also)
    output = arguments.output or arguments.folder / "datalist.json"
    given = {kind: names_by_id(getattr(arguments, kind), kind) for kind in KINDS if getattr(arguments, kind)}
    classes = {kind: {str(number): name for number, name in enumerate(names)} for kind, names in given.items()}
    write_datalist(output, datalist, classes)
    for sentence in dropped:
        print(f"not in the list: {sentence}")
    for section, items in datalist.items():
        labels = ", ".join(f"{sum(key in item for item in items)} with {key}" for key in keys.LABELS)
        print(f"{section}: {len(items)} images ({labels})")
    print(f"Written to {output}")
    return 0


def _convert(arguments: argparse.Namespace) -> int:
    from coseg_bundle.data.importers import convert

    if arguments.output is None:
        raise ValueError(f"--layout {arguments.layout} writes label maps: name a folder for them with --output.")
    if arguments.nuclei_classes or arguments.tissue_classes:
        raise ValueError(
            f"--layout {arguments.layout} knows its classes; change the names in the datalist that it writes."
        )
    if arguments.also or arguments.datasets:
        raise ValueError("--also and --datasets are for --layout folders; convert first, then join the datalists.")
    converted = convert(
        arguments.layout,
        arguments.folder,
        arguments.output,
        validation_fraction=arguments.validation,
        holdout=arguments.holdout,
        seed=arguments.seed,
    )
    for sentence in converted.notes:
        print(sentence)
    for sentence in converted.skipped:
        print(f"skipped: {sentence}")
    print(f"{len(converted.items)} images written to {arguments.output}; its datalist.json lists them")
    return 1 if converted.skipped else 0
