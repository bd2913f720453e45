"""An ONNX file as a network that onnxruntime runs: arrays in, arrays out, without PyTorch.

The released graph (`models/graph.onnx`) holds no weights: its initialisers have the names of the parameters, and are
filled from a weights file. So there is one file of weights for both engines, and whoever trains on has both at once.
"""

from __future__ import annotations

import json
import os
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coseg_bundle.networks.about import About
from coseg_bundle.networks.blocks.variants import SIDE_MULTIPLE
from coseg_bundle.networks.weights_file import ABOUT, STRIDE, TWO_SCALES, read_arrays, sha256

INPUT, OUTPUT = "image", "pred"

_ELSEWHERE = b"\n\x08location\x12"
"""What an ONNX file holds where values lie in another file: the key of ONNX' `external_data`, and the value's tag."""

REMEDY = "pip install onnxruntime"


class OnnxError(ValueError):
    """An ONNX file that cannot be made or used, with the reason and the remedy in one sentence."""


class OnnxNetwork:
    """An ONNX file in the place of a network, run in full precision.

    Args:
        path: A file that `export_onnx` wrote.
        weights: The weights for a graph without; None for a file that has them.
        threads: Threads on a CPU; as many as there are cores when not given.
        device: `cpu`, or `cuda` where onnxruntime knows it.

    Attributes:
        about: What the weights say of themselves.
        weights_sha256: Checksum of the weights.
        two_scales: Whether inference may look at tissue at half the resolution too.

    Raises:
        CheckpointError: The weights are missing or damaged.
        OnnxError: onnxruntime or the file is missing, the file is none of `export_onnx` or a graph alone without
            weights, or the weights belong to another network.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        weights: str | PathLike[str] | None = None,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        if not Path(path).is_file():
            raise OnnxError(f"No ONNX file: {path} does not exist; `coseg export` writes it.")
        self.path = Path(path)
        self._opened = [None if file is None else os.path.abspath(file) for file in (path, weights)], threads, device
        arrays = {} if weights is None else read_arrays(weights)
        said, suited, _ = (arrays.pop(name, None) for name in (ABOUT, TWO_SCALES, STRIDE))
        self._session = _session(self.path, arrays, weights, threads, device)
        properties = self._session.get_modelmeta().custom_metadata_map
        if not {"about", "weights_sha256", "two_scales"} <= properties.keys():
            raise OnnxError(
                f"{path} does not say its classes, weights and scales; expected a file written by `coseg export`."
            )
        self.about = About.from_json(properties["about"], path) if said is None else About.from_tensor(said, weights)
        self.two_scales = bool(suited) if weights else properties["two_scales"] == "True"
        self.weights_sha256 = properties["weights_sha256"]
        if weights is not None:
            self.weights_sha256 = sha256(weights)
            if said is None or self.about.network != json.loads(properties["about"])["network"]:
                raise _other_network(weights, self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled it is its files' paths, since onnxruntime's session cannot be; they are opened anew.

        Raises:
            OnnxError: When it is opened, the files hold other weights.
        """
        return _opened_anew, (*self._opened, self.weights_sha256)

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Segments images `(B, 3, H, W)` in [0, 1], sides multiples of 32; returns `pred` `(B, C, H, W)`.

        Raises:
            OnnxError: The images have another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or any(side % SIDE_MULTIPLE for side in images.shape[2:]):
            raise OnnxError(
                f"Expected images (B, 3, H, W) with sides that are multiples of {SIDE_MULTIPLE}, got {images.shape}."
            )
        feed = {INPUT: np.ascontiguousarray(images, np.float32)}
        answer: NDArray[np.float32] = self._session.run([OUTPUT], feed)[0]
        return answer


def _opened_anew(files: list[str | None], threads: int | None, device: str, checksum: str) -> OnnxNetwork:
    graph, weights = files
    network = OnnxNetwork(str(graph), weights, threads, device)
    if network.weights_sha256 != checksum:
        raise OnnxError(
            f"{weights or graph} holds other weights than when this was pickled ({checksum[:8]}, now "
            f"{network.weights_sha256[:8]}); put the former file there."
        )
    return network


def _session(
    path: Path,
    arrays: dict[str, NDArray[Any]],
    weights: str | PathLike[str] | None,
    threads: int | None,
    device: str,
) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise OnnxError(f"ONNX inference needs onnxruntime; {REMEDY}.") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; they are raised as well
    options.intra_op_num_threads = threads or 0
    providers = ["CPUExecutionProvider"]
    if device.partition(":")[0] == "cuda":
        providers.insert(0, "CUDAExecutionProvider")
    if arrays:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array.astype(np.float32)) for array in arrays.values()]
        options.add_external_initializers(list(arrays), values)
    content = path.read_bytes()
    if not arrays and _ELSEWHERE in content:  # or they would be those of any model.pt in the working directory
        raise OnnxError(
            f"{path} is a graph without weights; give the .pt that fills it, or a file that `coseg export` wrote "
            "without --graph-only."
        )
    try:
        return onnxruntime.InferenceSession(content, options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common public base
        if arrays:
            raise _other_network(weights, path) from error
        raise OnnxError(f"{path} is not a readable ONNX file; run `coseg export` again.") from error


def _other_network(weights: object, graph: Path) -> OnnxError:
    return OnnxError(
        f"{weights} belongs to another network than {graph}; where PyTorch is installed, run it with --engine torch, "
        f"or write `coseg export --weights {weights} -o FILE.onnx`, and give that file as --weights where it is not."
    )


def usable_providers() -> list[str]:
    """What onnxruntime can run on here; empty where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())
