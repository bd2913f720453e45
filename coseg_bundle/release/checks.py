"""The release checklist: what the model zoo and MONAI ask of a bundle, each line checked on the real files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coseg_bundle import __version__

_METADATA_KEYS = (
    "schema",
    "version",
    "changelog",
    "monai_version",
    "pytorch_version",
    "numpy_version",
    "required_packages_version",
    "name",
    "task",
    "description",
    "authors",
    "copyright",
    "intended_use",
    "data_source",
    "data_type",
    "image_classes",
    "label_classes",
    "pred_classes",
    "eval_metrics",
    "references",
    "supported_apps",
    "network_data_format",
)
_FILES = ("LICENSE", "configs/metadata.json", "configs/inference.yaml", "configs/train.yaml", "docs/README.md")
_HEADINGS = ("Overview", "Data", "Performance", "MONAI bundle commands", "References", "License")
_LARGEST = 25_000_000
_EXACT = re.compile(r"\d+(\.\d+)*([a-z]+\d+|\.post\d+)?")


@dataclass(frozen=True)
class Check:
    """One line of the checklist.

    Attributes:
        mark: `PASS`, `WARN` (worth mending) or `FAIL` (must be mended before a release).
        what: What was looked at.
        remedy: What to do; empty after PASS.
    """

    mark: Literal["PASS", "WARN", "FAIL"]
    what: str
    remedy: str = ""


def check_release(root: Path) -> Iterator[Check]:
    """Goes through the checklist on a bundle's folder; changes nothing.

    Yields:
        A `Check` per line.
    """
    yield from _files(root)
    try:
        metadata = json.loads((root / "configs" / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        yield Check("FAIL", f"metadata.json cannot be read ({error})", "write configs/metadata.json")
        return
    yield from _metadata(metadata)
    steps: tuple[tuple[str, Callable[[Path, dict[str, Any]], None]], ...] = (
        ("the network's output is what the metadata says", _check_network),
        ("models/model.pt fits the network", _check_weights),
    )
    for what, step in steps:
        try:
            step(root, metadata)
        except Exception as error:  # whatever breaks here is the finding
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            yield Check("FAIL", f"{what}: {reason}", "make configs, weights and metadata agree")
        else:
            yield Check("PASS", what)


def _files(root: Path) -> Iterator[Check]:
    for name in _FILES:
        found = (root / name).is_file()
        yield Check("PASS", name) if found else Check("FAIL", f"{name} is missing", f"add {name}")
    weights, listed = root / "models" / "model.pt", root / "large_files.yml"
    if weights.is_file() or listed.is_file():
        yield Check("PASS", "models/model.pt, or large_files.yml that says where it is")
    else:
        yield Check("FAIL", "no models/model.pt and no large_files.yml", "add the weights, or list url and hash")
    large = [path for path in root.glob("models/*") if path.is_file() and path.stat().st_size > _LARGEST]
    if large:
        yield Check("FAIL", f"{large[0].name} is over 25 MB", "take it out and list it in large_files.yml")
    else:
        yield Check("PASS", "no model file over 25 MB")
    card = (root / "docs" / "README.md").read_text(encoding="utf-8") if (root / "docs" / "README.md").is_file() else ""
    missing = [heading for heading in _HEADINGS if not re.search(rf"^## {heading}\s*$", card, re.M)]
    if missing:
        yield Check("FAIL", f"the model card lacks {', '.join(missing)}", "add the headings to docs/README.md")
    else:
        yield Check("PASS", "the model card has the zoo's headings")


def _metadata(metadata: dict[str, Any]) -> Iterator[Check]:
    absent = [key for key in _METADATA_KEYS if key not in metadata]
    if absent:
        yield Check("FAIL", f"metadata lacks {', '.join(absent)}", "add them to configs/metadata.json")
    else:
        yield Check("PASS", "metadata has every key of the zoo")
    version = metadata.get("version")
    if version == __version__ and version in metadata.get("changelog", {}):
        yield Check("PASS", f"version {version} is the package's and has a changelog line")
    else:
        yield Check("FAIL", f"version {version}, package {__version__}", "make them equal and add a changelog line")
    pins = {name: metadata.get(f"{name}_version", "") for name in ("monai", "pytorch", "numpy")}
    pins |= metadata.get("required_packages_version", {})
    loose = [name for name, pin in pins.items() if not _EXACT.fullmatch(str(pin))]
    if loose:
        yield Check("FAIL", f"no exact version of {', '.join(loose)}", "pin it: 1.2.3")
    else:
        yield Check("PASS", "every package has an exact version")
    if "optional_packages_version" in metadata:
        yield Check(
            "FAIL", "optional_packages_version overwrites the required ones", "move them to required_packages_version"
        )
    else:
        yield Check("PASS", "no optional_packages_version")
    if metadata.get("eval_metrics"):
        yield Check("PASS", "eval_metrics has figures")
    else:
        yield Check("WARN", "eval_metrics is empty", "put the model card's figures there")


def _parse(root: Path):  # type: ignore[no-untyped-def]  # ConfigParser imports torch
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(root / "configs" / "inference.yaml")
    parser.update({"bundle_root": str(root)})
    return parser


def _check_network(root: Path, metadata: dict[str, Any]) -> None:
    import torch

    parser = _parse(root)
    said = metadata["network_data_format"]["outputs"]["pred"]
    names = parser.get_parsed_content("tissue_classes"), parser.get_parsed_content("nuclei_classes")
    if said["channel_def"] != parser.get_parsed_content("layout").channel_def(*names):
        raise ValueError("channel_def differs from the layout's channels")
    with torch.inference_mode():
        pred = parser.get_parsed_content("network_def").eval()(torch.rand(1, 3, 64, 64))
    if not isinstance(pred, torch.Tensor):
        raise TypeError(f"expected one tensor, got {type(pred).__name__}")
    if pred.shape != (1, said["num_channels"], 64, 64) or str(pred.dtype) != f"torch.{said['dtype']}":
        raise ValueError(
            f"metadata says {said['num_channels']} channels of {said['dtype']}, got {pred.shape} {pred.dtype}"
        )


def _check_weights(root: Path, metadata: dict[str, Any]) -> None:
    from coseg_bundle.networks.checkpoints import load_weights

    load_weights(_parse(root).get_parsed_content("network_def"), root / "models" / "model.pt")
