"""The release checklist: what the model zoo and MONAI ask of a bundle, each line checked on the real files."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coseg_bundle import __version__
from coseg_bundle.bundle_root import WEIGHTS
from coseg_bundle.networks.checkpoints import load_weights
from coseg_bundle.networks.weights_file import CheckpointError, sha256
from coseg_bundle.release.archive import LARGEST

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
_HEADINGS = (
    "Model Overview",
    "Data",
    "Training configuration",
    "Performance",
    "MONAI Bundle Commands",
    "References",
    "License",
)
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
        said = [*_metadata(metadata), _changelog(root, str(metadata.get("version"))), _figures(root, metadata)]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:  # it may hold anything
        yield Check("FAIL", f"metadata.json cannot be read ({error})", "write configs/metadata.json")
        return
    yield from said
    steps: tuple[tuple[str, Callable[[Path, dict[str, Any]], None]], ...] = (
        ("the network's input and output are what the metadata says", _check_network),
        ("models/model.pt fits the network", _check_weights),
    )
    if not (root / WEIGHTS).is_file() and (root / "large_files.yml").is_file():
        yield Check("WARN", "the weights are not here yet", "python -m monai.bundle download_large_files")
        steps = steps[:1]
    for what, step in steps:
        try:
            step(root, metadata)
        except Exception as error:  # whatever breaks here is the finding
            cause: BaseException = error
            while cause.__cause__ is not None and not isinstance(cause, ValueError | OSError):
                cause = cause.__cause__  # MONAI wraps what its configurations raise
            reason = " ".join(str(cause).split())[:300] or type(cause).__name__
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
    large = [path for path in root.glob("models/*") if path.is_file() and path.stat().st_size > LARGEST]
    if large and not listed.is_file():
        yield Check("FAIL", f"{large[0].name} is over 25 MB", "take it out and list it in large_files.yml")
    else:
        yield Check("PASS", "no model file over 25 MB that large_files.yml does not list")
    card = _text(root / "docs" / "README.md")
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
    version, changelog = metadata.get("version"), dict(metadata.get("changelog", {}))
    if version == __version__ and version in changelog:
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


def _changelog(root: Path, version: str) -> Check:
    if re.search(rf"^## {re.escape(version)}\b", _text(root / "CHANGELOG.md"), re.M):
        return Check("PASS", f"CHANGELOG.md has a section of {version}")
    return Check("FAIL", f"CHANGELOG.md has no section of {version}", f"add a heading ## {version}")


def _figures(root: Path, metadata: dict[str, Any]) -> Check:
    said, shown = metadata.get("eval_metrics"), card_figures(_text(root / "docs" / "README.md"))
    if not said:
        return Check("WARN", "eval_metrics is empty", "put the model card's figures there")
    if said != shown:
        return Check("FAIL", f"eval_metrics {said} differ from the model card's {shown}", "make them equal")
    return Check("PASS", "eval_metrics are the model card's figures")


def card_figures(card: str) -> dict[str, float]:
    r"""Figures of the model card, named as in metadata: first row of the first table below `## Performance`.

    Example:
        >>> card_figures("## Performance\n| | nuclei PQ |\n|---|---:|\n| `mini` | 0.425 |")
        {'nuclei_pq': 0.425}
    """
    section = f"\n{card}".partition("\n## Performance")[2]
    rows = [
        [cell.strip(" *") for cell in line.split("|")[2:-1]] for line in section.splitlines() if line.startswith("|")
    ]
    if len(rows) < 3:
        return {}
    return {name.lower().replace(" ", "_"): float(value) for name, value in zip(rows[0], rows[2], strict=True)}


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _parse(root: Path):  # type: ignore[no-untyped-def]  # ConfigParser imports torch
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(root / "configs" / "inference.yaml")
    parser.update({"bundle_root": str(root)})
    return parser


def _check_network(root: Path, metadata: dict[str, Any]) -> None:
    import torch

    parser = _parse(root)
    given, said = metadata["network_data_format"]["inputs"]["image"], metadata["network_data_format"]["outputs"]["pred"]
    image = torch.rand(1, given["num_channels"], 64, 64, dtype=getattr(torch, given["dtype"]))
    if len(given["channel_def"]) != given["num_channels"]:
        raise ValueError("the input's channel_def does not name every channel")
    names = parser.get_parsed_content("tissue_classes"), parser.get_parsed_content("nuclei_classes")
    if said["channel_def"] != parser.get_parsed_content("layout").channel_def(*names):
        raise ValueError("channel_def differs from the layout's channels")
    with torch.inference_mode():
        pred = parser.get_parsed_content("network_def").eval()(image)
    if not isinstance(pred, torch.Tensor):
        raise TypeError(f"expected one tensor, got {type(pred).__name__}")
    if pred.shape != (1, said["num_channels"], 64, 64) or str(pred.dtype) != f"torch.{said['dtype']}":
        raise ValueError(
            f"metadata says {said['num_channels']} channels of {said['dtype']}, got {pred.shape} {pred.dtype}"
        )


def _check_weights(root: Path, metadata: dict[str, Any]) -> None:
    weights, listed = root / "models" / "model.pt", root / "models" / "model.pt.sha256"
    load_weights(_parse(root).get_parsed_content("network_def"), weights)
    if listed.is_file() and listed.read_text(encoding="utf-8").split()[0] != sha256(weights):
        raise CheckpointError(f"{listed.name} is of another file")
