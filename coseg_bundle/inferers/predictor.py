"""From an RGB array to nuclei and tissue in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from coseg_bundle.bundle_root import CONFIG, ONNX, WEIGHTS, find_bundle_root
from coseg_bundle.classes import ClassMap, result_classes
from coseg_bundle.inferers.configuration import Configuration
from coseg_bundle.inferers.tiled import check_tile_size
from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import CheckpointError, check_sum, load_weights, sha256
from coseg_bundle.networks.export.onnx import OnnxError, OnnxNetwork
from coseg_bundle.postprocessing.fill import find_fill, whitened
from coseg_bundle.postprocessing.prediction import PostProcessing, Prediction
from coseg_bundle.postprocessing.resample import resample_image, resample_nearest, size_at
from coseg_bundle.precision import Precision, resolve

SETTINGS = ("two_scales", "flips")
"""What the configuration says of how tiles go through the network, their size and the precision aside."""

WINDOWS = ("tile_size", "tile_batch_size", "overlap", "far_tile_size")
"""How the configuration cuts images; slides are cut otherwise."""


class Predictor:
    """A network with its inferer, post-processing and class names.

    Args:
        network: In evaluation mode, returns `pred` `(B, C, H, W)`.
        inferer: MONAI inferer that handles images of any size.
        postprocessing: Turns `pred` into instances and tissue.
        tissue_classes: Tissue class names.
        nuclei_classes: Nuclei class names, background first.
        mpp: Resolution that the network works at, microns per pixel.
        weights: The file that the weights came from, for the record.
        settings: How the inferer was set up, for the record: plain values by their names in the configuration.
        windows: How it cuts images, likewise.
        untrained: Tasks that nobody taught the network (`tissue`, `nuclei`, `types`); `inferer` says nothing of them.

    Example:
        >>> predictor = Predictor.from_bundle()                             # doctest: +SKIP
        >>> prediction = predictor.predict(rgb, mpp=0.5)                    # doctest: +SKIP
        >>> len(prediction.instances), prediction.tissue_map.shape          # doctest: +SKIP
        (412, (1024, 1024))
    """

    def __init__(
        self,
        network: torch.nn.Module,
        inferer: Callable[..., Any],
        postprocessing: PostProcessing,
        tissue_classes: ClassMap,
        nuclei_classes: ClassMap,
        mpp: float,
        weights: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        windows: Mapping[str, Any] | None = None,
        untrained: Sequence[str] = (),
    ) -> None:
        self.network, self.inferer, self.postprocessing = network.eval(), inferer, postprocessing
        self.tissue_classes, self.nuclei_classes, self.mpp = tissue_classes, nuclei_classes, mpp
        self.weights, self.settings, self.windows = weights, dict(settings or {}), dict(windows or {})
        self.untrained = tuple(untrained)
        self.weights_sha256 = sha256(weights) if weights else None
        self.device = next(network.parameters(), torch.empty(0)).device

    @classmethod
    def from_bundle(
        cls,
        bundle_root: str | PathLike[str] | None = None,
        weights: str | PathLike[str] | None = None,
        device: str | None = None,
        engine: Literal["torch", "onnx"] = "torch",
        precision: str | Precision | None = None,
        **overrides: Any,
    ) -> Predictor:
        """Builds the predictor that `configs/inference.yaml` describes.

        Args:
            bundle_root: The bundle's folder; found by itself when not given.
            weights: A weights file instead of `models/model.pt`, or an ONNX file instead of `models/model.onnx`.
            device: For example `cpu` or `cuda:0`; the configuration's choice when not given.
            engine: `onnx` runs the file that `coseg export` wrote instead of the PyTorch network.
            precision: `auto`, `fp32`, `bf16` or `fp16`; the configuration's choice when not given.
            overrides: Values of the configuration to replace, by id.

        Raises:
            BundleNotFoundError: There is no bundle.
            CheckpointError: The weights are missing, belong to another network, or are not those that the file
                `.sha256` beside them lists.
            OnnxError: The ONNX file is missing, or was made for another tile size, other scales or of other weights.
            ValueError: The device does not exist or has not got the precision, `engine` has not, or the tile size is
                none that the network takes.
        """
        root = find_bundle_root(bundle_root)
        file = Path(weights) if weights else root / (ONNX if engine == "onnx" else WEIGHTS)
        if engine == "torch" and not file.is_file():
            raise CheckpointError(f"Weights not found: {file} does not exist; `coseg doctor` tells how to get some.")
        check_sum(file)
        if engine == "onnx" and precision is not None:
            _onnx_precision(precision)  # here, before a file of some size is read
        exported = OnnxNetwork(file) if engine == "onnx" else None
        about = About.of_file(file) if exported is None else exported.about
        config = Configuration(root / CONFIG, overrides, about)
        check_tile_size(int(config["tile_size"]))  # here, where an error is one sentence
        if device is not None:
            config.update({"device": usable_device(device)})
        asked = config["precision"] if precision is None else precision
        if engine == "onnx":
            asked = _onnx_precision(asked)
        resolved = resolve(asked, config["device"], amp=config["amp"])
        config.update({"precision": asked, "resolved_precision": resolved})
        settings = {name: config[name] for name in SETTINGS} | {"precision": asdict(resolved)}
        network: torch.nn.Module
        if exported is not None:
            network = exported
            _check_onnx(exported, overrides.get("tile_size"), settings["two_scales"], root)
            config.update({"tile_size": network.tile_size, "fixed_tiles": True, "two_scales": False})  # it does its own
        else:
            network = config.network()
            load_weights(network, file)
        if settings["two_scales"] is None:
            settings["two_scales"] = bool(getattr(network, "two_scales", False))
        return cls(
            network,
            config.inferer(),
            config.postprocessing(),
            ClassMap(config["tissue_classes"]),
            ClassMap(config["nuclei_classes"]),
            float(config["mpp"]),
            file,
            settings,
            {name: config[name] for name in WINDOWS},
            () if about is None else about.untrained,
        )

    @property
    def result_classes(self) -> tuple[ClassMap, ClassMap]:
        """Names of tissue and nuclei classes for results: the network's own, where it was taught them."""
        return result_classes(self.tissue_classes.names, self.nuclei_classes.names, self.untrained)

    def predict(
        self, rgb: NDArray[np.uint8], mpp: float | None = None, unscanned: NDArray[np.bool_] | None = None
    ) -> Prediction:
        """Segments one image. Constant areas beside the tissue count as not scanned: there is nothing in them.

        Args:
            rgb: `(H, W, 3)` uint8, at least one pixel.
            mpp: Microns per pixel. When given, the image is resampled to the network's resolution and the result comes
                back at the image's; when not, the image counts as being at the network's resolution.
            unscanned: `(H, W)`, what is known not to be scanned, whatever the pixels say; None where nothing is known.

        Returns:
            Instances, their table and the tissue map, in pixels of `rgb`.

        Raises:
            ValueError: The array is no such image, the mask has another size, or the resolution makes no sense.
        """
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise ValueError(f"Expected an RGB image (H, W, 3) uint8, got shape {rgb.shape} and dtype {rgb.dtype}.")
        size = (rgb.shape[0], rgb.shape[1])
        if unscanned is not None and unscanned.shape != size:
            raise ValueError(f"Expected unscanned of the image's size {size}, got {unscanned.shape}.")
        seen = resample_image(rgb, size_at(size, mpp, self.mpp))
        fill = find_fill(seen)
        if unscanned is not None:
            fill |= resample_nearest(unscanned, (seen.shape[0], seen.shape[1]))
        pred = self.infer(whitened(seen, fill))
        return self.postprocessing(pred, mpp=mpp, size=size, unscanned=fill)

    def infer(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output `(C, H, W)` for an image `(H, W, 3)` at the network's resolution."""
        with torch.inference_mode():
            pred = self.inferer(self.to_tensor(rgb), self.network)
        return np.asarray(pred[0].float().cpu())

    def to_tensor(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        """An image `(H, W, 3)` as the network takes it: `(1, 3, H, W)` float32 in [0, 1], on its device."""
        image = torch.from_numpy(np.require(rgb, requirements=("C", "W"))).permute(2, 0, 1)[
            None
        ]  # (H, W, 3) -> (1, 3, H, W)
        return image.to(self.device).float() / 255


def _onnx_precision(asked: str | Precision) -> Precision:
    if asked not in ("auto", "fp32"):
        raise ValueError(f"Expected precision auto or fp32: the engine onnx computes in full precision; got {asked}.")
    return Precision("fp32", "the engine onnx computes in full precision")


def _check_onnx(network: OnnxNetwork, tile_size: int | None, two_scales: bool | None, root: Path) -> None:
    file = Path(network.path)
    made = {"tile_size": network.tile_size, "two_scales": network.two_scales}
    asked = {"tile_size": tile_size, "two_scales": two_scales}
    wanted = {name: made[name] if value is None else value for name, value in asked.items()}
    if different := [name for name in made if made[name] != wanted[name]]:
        raise OnnxError(
            f"{file} was made with {' and '.join(f'{name} {made[name]}' for name in different)} and not "
            f"{' and '.join(str(wanted[name]) for name in different)}; run `coseg export` again."
        )
    weights = root / WEIGHTS
    if file == root / ONNX and weights.is_file() and sha256(weights) != network.weights_sha256:
        raise OnnxError(f"{file} was made of other weights than {weights}; run `coseg export` again.")


def usable_device(name: str) -> torch.device:
    """The device of a name; raises ValueError where there is none."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # `meta` has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"Device {name!r} cannot be used ({str(error).splitlines()[0]}); `coseg doctor` lists the devices."
        ) from error
    return device
