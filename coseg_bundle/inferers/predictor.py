"""From an RGB array to nuclei and tissue in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.bundle_root import CONFIG, GRAPH, WEIGHTS, find_bundle_root
from coseg_bundle.classes import ClassMap, result_classes
from coseg_bundle.engine.choice import Engine, choose_engine
from coseg_bundle.engine.cores import kept_to
from coseg_bundle.engine.tensors import Images, to_numpy
from coseg_bundle.inferers.configuration import Configuration
from coseg_bundle.inferers.tiled import check_tile_size
from coseg_bundle.inferers.two_scales import resolution_known
from coseg_bundle.networks.about import About
from coseg_bundle.networks.export.onnx_network import OnnxNetwork, usable_providers
from coseg_bundle.networks.weights_file import CheckpointError, check_sum, sha256
from coseg_bundle.postprocessing.fill import find_fill, whitened
from coseg_bundle.postprocessing.prediction import PostProcessing, Prediction
from coseg_bundle.postprocessing.resample import resample_image, resample_nearest, size_at
from coseg_bundle.precision import Precision, resolve

if TYPE_CHECKING:
    import torch

SETTINGS = ("two_scales", "far_weight", "narrow_um", "flips")
"""What the configuration says of how tiles go through the network, their size and the precision aside."""

WINDOWS = ("tile_size", "tile_batch_size", "overlap", "far_tile_size")
"""How the configuration cuts images; slides are cut otherwise."""


class Predictor:
    """A network with its inferer, post-processing and class names.

    Args:
        network: A PyTorch module, or an `OnnxNetwork`; returns `pred` `(B, C, H, W)`.
        inferer: Leads images of any size through it.
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
        network: torch.nn.Module | OnnxNetwork,
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
        self.engine: Engine = "onnx" if isinstance(network, OnnxNetwork) else "torch"
        self.network: Any = network if isinstance(network, OnnxNetwork) else network.eval()
        self.inferer, self.postprocessing = inferer, postprocessing
        self.tissue_classes, self.nuclei_classes, self.mpp = tissue_classes, nuclei_classes, mpp
        self.weights, self.settings, self.windows = weights, dict(settings or {}), dict(windows or {})
        self.untrained = tuple(untrained)
        self.weights_sha256 = sha256(weights) if weights else None

    @property
    def device(self) -> Any:
        """Where PyTorch computes; None with another engine."""
        if self.engine == "onnx":
            return None
        import torch

        return next(self.network.parameters(), torch.empty(0)).device

    @classmethod
    def from_bundle(
        cls,
        bundle_root: str | PathLike[str] | None = None,
        weights: str | PathLike[str] | None = None,
        device: str | None = None,
        engine: str = "auto",
        precision: str | Precision | None = None,
        **overrides: Any,
    ) -> Predictor:
        """Builds the predictor that `configs/inference.yaml` describes.

        Args:
            bundle_root: The bundle's folder; found by itself when not given.
            weights: A weights file instead of `models/model.pt`, or a file that `coseg export` wrote.
            device: For example `cpu` or `cuda:0`; the configuration's choice when not given.
            engine: `torch`, `onnx` or `auto` (see `choose_engine`); both give the same nuclei and tissue.
            precision: `auto`, `fp32`, `bf16` or `fp16`; the configuration's choice when not given.
            overrides: Values of the configuration to replace, by id.

        Raises:
            BundleNotFoundError: There is no bundle.
            CheckpointError: The weights are missing, belong to another network, or are not those that the file
                `.sha256` beside them lists.
            OnnxError: The graph is missing, or the weights belong to another one.
            ValueError: The engine is not there, the device does not exist or has not got the precision, or the tile
                size is none that the network takes.
        """
        root = find_bundle_root(bundle_root)
        file = root / WEIGHTS if weights is None else Path(weights)
        chosen = choose_engine(engine, file)
        if not file.is_file():
            raise CheckpointError(f"Weights not found: {file} does not exist; `coseg doctor` tells how to get some.")
        check_sum(file)
        build = _with_torch if chosen == "torch" else _with_onnx
        network, config = build(root, file, device, precision, overrides)
        settings = {name: config[name] for name in SETTINGS}
        settings |= {"precision": asdict(config["resolved_precision"]), "engine": chosen}
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
            config["untrained"] or (),
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
        with resolution_known(mpp is not None):
            pred = self.infer(whitened(seen, fill))
        return self.postprocessing(pred, mpp=mpp, size=size, unscanned=fill)

    def infer(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The network's output `(C, H, W)` for an image `(H, W, 3)` at the network's resolution."""
        return to_numpy(self.infer_batch(rgb[None])[0])

    def infer_batch(self, rgb: NDArray[np.uint8]) -> Images:
        """The network's output `(B, C, H, W)` for images `(B, H, W, 3)`: a tensor on its device, or an array."""
        return infer_batch(self, rgb)

    def to_tensor(self, rgb: NDArray[np.uint8]) -> torch.Tensor:
        """An image `(H, W, 3)` as a PyTorch network takes it: `(1, 3, H, W)` float32 in [0, 1], on its device."""
        return _to_tensor(rgb[None], self.device)


def infer_batch(predictor: Any, rgb: NDArray[np.uint8]) -> Images:
    """What a predictor's network says of images `(B, H, W, 3)`: `pred` `(B, C, H, W)`, a tensor or an array."""
    if isinstance(predictor.network, OnnxNetwork):
        images = np.moveaxis(rgb, -1, 1).astype(np.float32) / np.float32(255)  # (B, H, W, 3) -> (B, 3, H, W)
        pred: Images = predictor.inferer(images, predictor.network)
        return pred
    import torch

    with torch.no_grad():  # not inference_mode: what was not scanned is silenced in place, outside of it
        pred = predictor.inferer(_to_tensor(rgb, predictor.device), predictor.network)
    return pred


def _to_tensor(rgb: NDArray[np.uint8], device: Any) -> torch.Tensor:
    import torch

    images = torch.from_numpy(np.require(rgb, requirements=("C", "W"))).permute(0, 3, 1, 2)  # -> (B, 3, H, W)
    return images.to(device).float() / 255


def _with_torch(
    root: Path, file: Path, device: str | None, precision: str | Precision | None, overrides: dict[str, Any]
) -> tuple[Any, Configuration]:
    import torch

    from coseg_bundle.networks.checkpoints import load_weights

    if (threads := kept_to()) is not None:
        torch.set_num_threads(threads)
    config = Configuration(root / CONFIG, overrides, About.of_file(file))
    config.update({"weights": str(file)})
    check_tile_size(config["tile_size"])  # here, where an error is one sentence
    if device is not None:
        config.update({"device": usable_device(device)})
    asked = config["precision"] if precision is None else precision
    resolved = resolve(asked, config["device"], amp=config["amp"])
    config.update({"precision": asked, "resolved_precision": resolved})
    network = config.network().float()  # as images are, whatever PyTorch's default is
    load_weights(network, file)
    return network, config


def _with_onnx(
    root: Path, file: Path, device: str | None, precision: str | Precision | None, overrides: dict[str, Any]
) -> tuple[Any, Configuration]:
    device = usable_onnx_device(device)
    if precision is not None:
        onnx_precision(precision)  # here, before a file of some size is read
    graph, weights = (file, None) if file.suffix.lower() == ".onnx" else (root / GRAPH, file)
    network = OnnxNetwork(graph, weights, threads=kept_to(), device=device)
    config = Configuration(root / CONFIG, overrides, network.about, "onnx")
    check_tile_size(config["tile_size"])
    resolved = onnx_precision(config["precision"] if precision is None else precision)
    config.update({"precision": resolved, "resolved_precision": resolved})
    return network, config


def onnx_precision(asked: str | Precision) -> Precision:
    """The one precision of onnxruntime; raises ValueError where another is asked for."""
    if getattr(asked, "name", asked) not in ("auto", "fp32"):
        raise ValueError(f"Expected precision auto or fp32: the engine onnx computes in full precision; got {asked}.")
    return Precision("fp32", "the engine onnx computes in full precision")


def usable_onnx_device(name: str | None) -> str:
    """The device of a name for onnxruntime, the CPU where none is given; raises ValueError where there is none."""
    kind = (name or "cpu").partition(":")[0]
    if kind == "cpu" or (kind == "cuda" and "CUDAExecutionProvider" in usable_providers()):
        return kind
    raise ValueError(
        f"Device {name!r} cannot be used: this onnxruntime knows the CPU"
        f"{' and CUDA' if 'CUDAExecutionProvider' in usable_providers() else ''}; `coseg doctor` lists the devices."
    )


def usable_device(name: str) -> torch.device:
    """PyTorch's device of a name; raises ValueError where there is none."""
    import torch

    from coseg_bundle.data.images.files import first_line

    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # `meta` has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = first_line(error).partition(". ")[0][:200]  # PyTorch goes on at length
        raise ValueError(f"Device {name!r} cannot be used ({reason}); `coseg doctor` lists the devices.") from error
    return device
