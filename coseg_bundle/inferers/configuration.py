"""What `configs/inference.yaml` says of inference, read without MONAI wherever that can be done.

Importing MONAI takes longer than segmenting a small image does. Where weights say what network they belong to, and the
configuration is built as the released one is (its numbers may differ), the same objects are made here directly; in all
other cases MONAI's `ConfigParser` makes them. A test holds the two ways together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from coseg_bundle.bundle_root import CONFIG, WEIGHTS, find_bundle_root
from coseg_bundle.engine.choice import Engine
from coseg_bundle.inferers.flips import FlipInferer
from coseg_bundle.inferers.taught import TaughtInferer, taught_layout
from coseg_bundle.inferers.tiled import TiledInferer
from coseg_bundle.inferers.two_scales import TwoScaleInferer
from coseg_bundle.networks.about import About, build
from coseg_bundle.networks.head_layout import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.settings.names import default_of, unknown_setting
from coseg_bundle.settings.values import for_users

if TYPE_CHECKING:
    import torch

RELEASED = "ed881c2560405cfe"
"""Digest of the released configuration's structure; `structure` makes it."""

_BLOCKS = ("device", "layout", "inferer", "segmentation")

_POSTPROCESSING = {field.name for field in fields(PostProcessing)} - {"layout"}
"""What may be said inside `segmentation` without MONAI."""

_ASKED = ("inferer", "segmentation", "tissue_classes", "nuclei_classes", "mpp", "device", "precision", "amp", "imports")
"""What inference in Python begins with; all else is read where one of these refers to it."""


class Configuration:
    """The values of a configuration, and the objects that it describes.

    Args:
        path: `configs/inference.yaml` of a bundle.
        overrides: Values to replace, by id; a table of a block's values replaces those (`segmentation={...}`).
        about: What the weights say of themselves; their classes, resolution and network come before the file's.
        engine: What is to compute the network; onnxruntime takes the released configuration, whatever its numbers.

    Raises:
        ValueError: The engine does not take this configuration, or there is no such value to replace, or nothing would
            read it.
    """

    def __init__(self, path: Path, overrides: Mapping[str, Any], about: About | None, engine: Engine = "torch") -> None:
        self.about, self._engine = about, engine
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        overrides = dict(_inner(overrides, content))
        _check(overrides, content, _read(content, about))
        said: dict[str, Any] = {"about": about}
        if about is not None:
            said |= {name: list(getattr(about, name)) for name in ("tissue_classes", "nuclei_classes", "untrained")}
            said["mpp"] = about.mpp
            _check_said(overrides, said)
            overrides = {name: value for name, value in overrides.items() if name not in said}
            overrides = {"min_tissue_area_px": about.min_tissue_area_px, **overrides}
        self._parser: Any = None
        released = about is not None and structure(content) == RELEASED
        others = sorted(name for name, value in overrides.items() if not _is_setting(name, value))
        if released and not others:
            inner = {re.split("::|#", name)[1]: value for name, value in overrides.items() if _is_inner(name)}
            self._values = {**content, **overrides, **said, "device": None}
            self._values["segmentation"] = {**content["segmentation"], **inner}
            return
        if engine == "onnx" and released:
            raise ValueError(
                f"The engine onnx takes no other {', '.join(others)} than {path} has; leave it out, or run it with "
                "--engine torch."
            )
        if engine == "onnx":
            raise ValueError(
                f"{path} is put together otherwise than the released configuration, which is the only one that the "
                "engine onnx knows; run it with --engine torch."
            )
        for name in filter(_is_inner, overrides):
            default_of(name, content, str(CONFIG))
        from monai.bundle import ConfigParser

        self._parser = ConfigParser()
        self._parser.read_config(path)
        self._parser.update({"bundle_root": str(path.parent.parent), **overrides, **said})

    def __getitem__(self, name: str) -> Any:
        """A value, with what it refers to put in."""
        if self._parser is not None:
            return self._parsed(name) if name in self._parser else None
        if name == "device" and self._values["device"] is None:
            if self._engine == "onnx":
                return "cpu"
            import torch

            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return self._values.get(name)

    def _parsed(self, name: str) -> Any:
        try:
            return self._parser.get_parsed_content(name)
        except Exception as error:
            if (cause := for_users(error)) is None:
                raise
            raise cause from None

    def update(self, values: Mapping[str, Any]) -> None:
        """Replaces values."""
        (self._values if self._parser is None else self._parser).update(values)

    def network(self) -> torch.nn.Module:
        """The network, on the device, with fresh weights."""
        if self.about is not None:
            return build(self.about.network).to(self["device"])
        network: torch.nn.Module = self["network"]
        return network

    def postprocessing(self) -> PostProcessing:
        """What turns the network's output into nuclei and tissue."""
        if self._parser is not None:
            made: PostProcessing = self["segmentation"]
            return made
        assert self.about is not None
        given = {"min_tissue_area_px": self["min_tissue_area_px"]}
        given |= {name: value for name, value in self._values["segmentation"].items() if _is_plain(value)}
        layout = taught_layout(HeadLayout(**self.about.network["layout"]), self.about.untrained)
        return PostProcessing(layout, **{name: given[name] for name in given.keys() & _POSTPROCESSING})

    def inferer(self) -> Callable[..., Any]:
        """What leads images of any size through the network."""
        if self._parser is not None:
            made: Callable[..., Any] = self["inferer"]
            return made
        assert self.about is not None
        layout = HeadLayout(**self.about.network["layout"])
        sizes = ("tile_size", "tile_batch_size", "overlap", "fixed_tiles", "border_px")
        near = TiledInferer(*(self[name] for name in sizes))
        block = self._values["inferer"]["inferer"]["inferer"]["inferer"]["far"]
        far = TiledInferer(self["far_tile_size"], block["batch_size"], block["overlap"], border_px=block["border_px"])
        weights = self["far_weight"], self["narrow_um"] / self["mpp"], "nuclei" not in self.about.untrained
        scales = TwoScaleInferer(near, layout, self["two_scales"], far, *weights)
        inferer: Callable[..., Any] = FlipInferer(scales, layout, self["flips"])
        if self._engine == "torch":
            from coseg_bundle.inferers.autocast import AutocastInferer

            inferer = AutocastInferer(inferer, self["resolved_precision"])
        return TaughtInferer(inferer, layout, self.about.untrained)


def class_names(kind: str, given: str | PathLike[str] | None = None) -> list[str]:
    """Class names, background first, of the bundle's weights.

    Args:
        kind: `tissue_classes` or `nuclei_classes`.
        given: A bundle folder that the user names.
    """
    root = find_bundle_root(given)
    about = About.of_file(root / WEIGHTS) if (root / WEIGHTS).is_file() else None
    return [str(name) for name in Configuration(root / CONFIG, {}, about)[kind]]


def structure(content: Mapping[str, Any]) -> str:
    """A digest of the blocks that describe objects, whatever numbers stand in them."""
    blocks = {name: _without_numbers(content.get(name)) for name in _BLOCKS}
    return hashlib.sha256(json.dumps(blocks, sort_keys=True).encode()).hexdigest()[:16]


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_numbers(inner) for inner in value]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else value


def _inner(overrides: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Values by id, where some are given as the table of a block that stays what it is."""
    for name, value in overrides.items():
        block = content.get(name)
        if isinstance(value, Mapping) and isinstance(block, Mapping) and "_target_" not in value:
            yield from ((f"{name}::{key}", inner) for key, inner in _inner(value, block))
        else:
            yield name, value


def _read(content: Mapping[str, Any], about: About | None) -> set[str]:
    """Names of a configuration that inference in Python reads, where weights say this of themselves."""
    elsewhere = {"about", "resolved_precision"} | (set() if about is None else {"layout"})
    waiting, read = [*_ASKED, *(["network"] if about is None else [])], set[str]()
    while waiting:
        name = waiting.pop()
        if name in content and name not in read | elsewhere:
            read.add(name)
            waiting += re.findall(r"[@%]#*(\w+)", json.dumps(content[name], default=str))
    return read


def _check(overrides: Mapping[str, Any], content: Mapping[str, Any], read: set[str]) -> None:
    """Refuses what would be taken without a word and never read."""
    for name, value in overrides.items():
        known = content.get(name)
        if (block := re.split("::|#", name)[0]) not in content:
            raise ValueError(unknown_setting(name, name, content, str(CONFIG)))
        if block not in read:
            raise ValueError(
                f"Setting {name!r} would change nothing: the weights say it, or only MONAI's workflows read it; "
                "leave it out."
            )
        is_bool = isinstance(value, bool | np.bool_)
        no_table = isinstance(value, str | int | float) or (value is None and name in _ASKED)
        if isinstance(known, dict | list) and no_table and _is_plain(value):
            raise ValueError(f"Expected a {'table' if isinstance(known, dict) else 'list'} for {name}, got {value!r}.")
        if not _is_plain(value) or (name == "two_scales" and value is None):
            continue
        if (isinstance(known, bool) or name == "two_scales") and not is_bool:
            raise ValueError(f"Expected true or false for {name}, got {value!r}.")
        if (
            isinstance(known, int | float)
            and not isinstance(known, bool)
            and (is_bool or not isinstance(value, int | float | np.number))
        ):
            raise ValueError(f"Expected a number for {name}, such as {known}, got {value!r}.")


def _check_said(overrides: Mapping[str, Any], said: Mapping[str, Any]) -> None:
    """Refuses other classes or another resolution than the weights have."""
    for name in said.keys() & overrides.keys():
        given = list(overrides[name]) if isinstance(overrides[name], tuple) else overrides[name]
        if given != said[name]:
            raise ValueError(f"Expected {said[name]} for {name}, what the weights say, got {given}; leave it out.")


def _is_setting(name: str, value: Any) -> bool:
    """Whether the released configuration is still built as it is with another value."""
    block, *inside = re.split("::|#", name)
    if inside:
        return block == "segmentation" and len(inside) == 1 and inside[0] in _POSTPROCESSING and _is_plain(value)
    return block not in _BLOCKS and _is_plain(value)


def _is_inner(name: str) -> bool:
    """Whether a value lies inside a block."""
    return "::" in name or "#" in name


def _is_plain(value: Any) -> bool:
    return not (isinstance(value, dict | list) or (isinstance(value, str) and value[:1] in "$@%"))
