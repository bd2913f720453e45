"""Train a network on a datalist, from any folder.

The datalist has training and validation images (`coseg datalist` makes one), and may name its classes. An interrupted
training goes on when the same command runs again. KEY=VALUE changes any setting of configs/train.yaml, for example
max_epochs=20. Prints the command of MONAI that does the same.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coseg_bundle.commands.arguments import add_class_names

_OUTPUT = Path("runs", "train")
_SHIPPED = "shipped"
_SETTING = re.compile(r"[A-Za-z_][\w:#]*=")
"""How KEY=VALUE begins; the label id of ID=NAME is a number."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("datalist", type=Path, metavar="DATALIST", help="datalist: training and validation")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="settings of configs/train.yaml")
    parser.add_argument("--output", "-o", type=Path, metavar="DIR", help=f"folder (default: {_OUTPUT.as_posix()})")
    add_class_names(parser, "the datalist's by default")
    parser.add_argument(
        "--start-weights",
        nargs="?",
        const=_SHIPPED,
        metavar="FILE",
        help="weights to start from, also of other classes; without FILE those that are shipped",
    )
    parser.add_argument(
        "--preset",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="recipes of configs/presets, or files, over train.yaml",
    )
    parser.add_argument(
        "--profile",
        choices=("quick", "full"),
        default="full",
        help="quick: --preset quick, which fine-tunes the shipped weights on some ten images, for minutes of a CPU; "
        "full: configs/train.yaml as it is (default)",
    )
    parser.add_argument(
        "--fresh",
        action="store_true",
        help="begin anew in a folder that holds a run: its checkpoint goes, its model.pt is renamed to model.former.pt "
        "(or model.former-2.pt, where there is one)",
    )
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="the bundle's folder, if it is not found by itself")


def run(arguments: argparse.Namespace) -> int:
    """Trains; the exit code is 130 or 143 where a signal stopped it."""
    from coseg_bundle.bundle_root import find_bundle_root
    from coseg_bundle.commands.training.settings import check_settings, parse_settings, together
    from coseg_bundle.commands.workflow import monai_command, run_workflow
    from coseg_bundle.data.datalist import load_datalist

    for section in ("training", "validation"):
        load_datalist(arguments.datalist, section)
    given = parse_settings([*arguments.settings, *_behind_flags(arguments)])  # before the flags are read
    settings = together(_of_flags(arguments), given)
    settings.setdefault("output_dir", str(_OUTPUT.resolve()))
    folder = find_bundle_root(arguments.bundle) / "configs"
    presets = ["quick", *arguments.preset] if arguments.profile == "quick" else arguments.preset
    configs = [folder / "train.yaml", *(_preset(folder, name) for name in dict.fromkeys(presets))]

    from monai.bundle import ConfigParser

    parser = ConfigParser()
    own = [path for path in configs if not path.is_relative_to(folder)]
    parser.read_config([str(path) for path in configs if path not in own])
    for path in own:
        _check_preset(path, parser.config)
    parser.read_config([str(path) for path in configs])
    check_settings(parser.config, settings)
    print(monai_command("training", configs, settings), flush=True)
    run_workflow("training", configs, settings)
    weights = Path(str(settings["output_dir"])) / "model.pt"
    if not weights.is_file():
        raise ValueError(
            f"Nothing was trained, {weights} was not written: look at max_epochs and at the files of --preset."
        )
    print(f"Weights: {weights}")
    return 0


def _behind_flags(arguments: argparse.Namespace) -> list[str]:
    """Takes KEY=VALUE out of the lists of flags that they stand behind, where argparse puts them."""
    taken = []
    for flag in ("nuclei_classes", "tissue_classes", "preset"):
        for text in [text for text in getattr(arguments, flag) or [] if _SETTING.match(text)]:
            getattr(arguments, flag).remove(text)
            taken.append(text)
    if arguments.start_weights and _SETTING.match(arguments.start_weights):
        taken.append(arguments.start_weights)
        arguments.start_weights = _SHIPPED
    return taken


def _of_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the flags stand for which were given."""
    from coseg_bundle.bundle_root import WEIGHTS, find_bundle_root
    from coseg_bundle.data.classes import KINDS, names_by_id

    settings: dict[str, Any] = {"dataset_file": str(arguments.datalist.expanduser().resolve())}
    if arguments.output is not None:
        settings["output_dir"] = str(arguments.output.expanduser().resolve())
    for kind in KINDS:
        if given := getattr(arguments, kind):
            settings[kind] = names_by_id(given, kind)
    if arguments.start_weights == _SHIPPED:
        settings["start_weights"] = str(find_bundle_root(arguments.bundle) / WEIGHTS)
    elif arguments.start_weights:
        settings["start_weights"] = str(Path(arguments.start_weights).expanduser().resolve())
    if arguments.fresh:
        settings["resume"] = False
    if arguments.bundle is not None:
        settings["bundle_root"] = str(arguments.bundle.expanduser().resolve())
    return settings


def _check_preset(path: Path, config: Mapping[str, Any]) -> None:
    """Refuses what nothing reads of a person's own preset; what it refers to itself, by `@key`, is read."""
    from monai.bundle import ConfigParser

    from coseg_bundle.commands.training.settings import check_settings

    text, content = path.read_text(encoding="utf-8"), ConfigParser.load_config_file(str(path))
    given = {str(key).lstrip("+~").replace("#", "::"): value for key, value in (content or {}).items()}
    try:
        check_settings(config, {key: value for key, value in given.items() if f"@{key}" not in text})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _preset(configs: Path, name: str) -> Path:
    for path in (configs / "presets" / f"{name}.yaml", Path(name).expanduser().resolve()):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in (configs / "presets").glob("*.yaml")))
    raise ValueError(f"There is no preset {name!r}: expected one of {known}, or a YAML file.")
