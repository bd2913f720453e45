"""ONNX: a network as a file, and such a file as a network that onnxruntime runs."""

from __future__ import annotations

import logging
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from coseg_bundle.atomic import whole_file
from coseg_bundle.networks.about import About

TOLERANCE = 1e-3
"""Largest difference from PyTorch, in any channel of `pred`, with which a file is written."""

_INPUT, _OUTPUT = "image", "pred"
_REMEDY = "pip install 'coseg-bundle[export]'"


class OnnxError(ValueError):
    """An ONNX file that cannot be made or used, with the reason and the remedy in one sentence."""


def export_onnx(
    network: nn.Module,
    path: str | PathLike[str],
    tile_size: int,
    weights_sha256: str,
    two_scales: bool = False,
    about: About | None = None,
) -> float:
    """Writes a network as ONNX, once the file has said the same as PyTorch on random tiles.

    What follows the path goes into the file, so that `OnnxNetwork` knows what it is. The batch is dynamic.

    Args:
        network: On the CPU, with merged weights; takes `(B, 3, H, W)` in [0, 1] and returns one tensor.
        path: File to write.
        tile_size: Height and width of the tiles, px.
        weights_sha256: Of the weights in the network.
        two_scales: Whether it is a `TwoScaleNetwork`.
        about: What the weights say of themselves.

    Returns:
        The largest difference from PyTorch.

    Raises:
        OnnxError: The packages are missing, or the difference is above `TOLERANCE`; nothing is written then.
    """
    try:
        import onnxruntime  # noqa: F401  # the check below needs it
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise OnnxError(f"ONNX export needs {error.name}; {_REMEDY}.") from error
    generator = torch.Generator().manual_seed(0)
    tiles = torch.rand(3, 3, tile_size, tile_size, generator=generator)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of torchvision's operators, which nobody uses
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    with torch.no_grad():
        program = torch.onnx.export(
            network.eval(),
            (tiles[:2],),
            dynamo=True,
            input_names=[_INPUT],
            output_names=[_OUTPUT],
            dynamic_shapes=(batch,),
            optimize=False,  # onnxruntime does that when it loads the file; here it takes longer than the export
            verbose=False,
        )
        assert program is not None
        program.model.metadata_props.update(
            tile_size=str(tile_size), weights_sha256=weights_sha256, two_scales=str(two_scales)
        )
        if about is not None:
            program.model.metadata_props["about"] = about.to_json()
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as partial:
            program.save(partial)
            exported = OnnxNetwork(partial)
            difference = max(float((exported(x) - network(x)).abs().max()) for x in (tiles, tiles[:1]))
            if not difference <= TOLERANCE:
                raise OnnxError(f"{path} was not written: it differs from PyTorch by {difference:.1g} (> {TOLERANCE}).")
    return difference


class OnnxNetwork(nn.Module):
    """An ONNX file in the place of a network, run by onnxruntime in full precision.

    Args:
        path: A file that `export_onnx` wrote.

    Attributes:
        tile_size: Height and width of its tiles, px.
        weights_sha256: Checksum of the weights that it was made of.
        two_scales: Whether it looks at tissue at two scales itself.
        about: What the weights said of themselves; None where they said nothing.

    Raises:
        OnnxError: onnxruntime or the file is missing, or the file is none of `export_onnx`.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        super().__init__()
        if not Path(path).is_file():
            raise OnnxError(f"No ONNX file: {path} does not exist; `coseg export` writes it.")
        self.path = path
        self._session = _session(path)
        properties = self._session.get_modelmeta().custom_metadata_map
        if not {"tile_size", "weights_sha256", "two_scales"} <= properties.keys():
            raise OnnxError(
                f"{path} does not say its tile size, weights and scales; expected a file written by `coseg export`."
            )
        self.tile_size, self.weights_sha256 = int(properties["tile_size"]), properties["weights_sha256"]
        self.two_scales = properties["two_scales"] == "True"
        self.about = About.from_json(properties["about"], path) if "about" in properties else None

    def forward(self, image: Tensor) -> Tensor:
        """Segments tiles `(B, 3, tile_size, tile_size)`.

        Raises:
            OnnxError: The tiles have another size.
        """
        if image.shape[-2:] != (self.tile_size, self.tile_size):
            raise OnnxError(
                f"{self.path} takes tiles of {self.tile_size} px, got {tuple(image.shape)}; export it again with "
                "--tile-size, or set tile_size in configs/inference.yaml."
            )
        tiles = np.ascontiguousarray(image.float().cpu().numpy())
        return torch.from_numpy(self._session.run([_OUTPUT], {_INPUT: tiles})[0]).to(image.device)


def _session(path: str | PathLike[str]) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise OnnxError(f"ONNX inference needs onnxruntime; {_REMEDY}.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    usable = [
        x for x in ("CUDAExecutionProvider", "CPUExecutionProvider") if x in onnxruntime.get_available_providers()
    ]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=usable)
    except Exception as error:  # onnxruntime's exceptions have no common public base
        raise OnnxError(f"{path} is not a readable ONNX file; run `coseg export` again.") from error
