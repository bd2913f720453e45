"""ONNX: a network as a file, for onnxruntime and whatever else reads ONNX."""

from __future__ import annotations

import json
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from coseg_bundle import __version__
from coseg_bundle.atomic import whole_file
from coseg_bundle.networks.about import About
from coseg_bundle.networks.blocks.variants import SIDE_MULTIPLE
from coseg_bundle.networks.export.onnx_network import INPUT, OUTPUT, OnnxError, OnnxNetwork
from coseg_bundle.networks.head_layout import HeadLayout

TOLERANCE = 1e-3
"""Largest difference from PyTorch, in any channel of `pred`, with which a file is written."""

OPSET = 17
"""What onnxruntime-web, OpenVINO and TensorRT of the last years read."""

_REMEDY = "pip install 'coseg-bundle[export]'"
_SIDES = ((96, 160), (64, 64))
"""Heights and widths of the images that a file is checked with, px; it is traced with the first."""


def export_onnx(
    network: nn.Module,
    path: str | PathLike[str],
    about: About,
    weights_sha256: str,
    weights: str | PathLike[str] | None = None,
) -> float:
    """Writes a network as ONNX, once the file has said the same as PyTorch on random images of several sizes.

    Batch, height and width are free; the sides are multiples of 32. What the network is stands in the file's metadata:
    resolution, classes, channels, licence, version. Nothing of the machine or the code that wrote it does.

    Args:
        network: On the CPU, with merged weights; takes `(B, 3, H, W)` in [0, 1] and returns one tensor.
        path: File to write.
        about: What the weights say of themselves.
        weights_sha256: Of the weights in the network.
        weights: The file of these weights where the graph is to be written alone, and filled from such a file when it
            is used; None puts them into it.

    Returns:
        The largest difference from PyTorch.

    Raises:
        OnnxError: The packages are missing, or the difference is above `TOLERANCE`; nothing is written then.
        NoRoomError: The disk is full.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401  # the check below needs it
    except ImportError as error:
        raise OnnxError(f"ONNX export needs {error.name}; {_REMEDY}.") from error
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as partial:
        _trace(network.eval(), partial)
        model = onnx.load(partial)
        _strip(model.graph)
        two_scales = bool(getattr(network, "two_scales", False))
        properties = metadata(about, weights_sha256, two_scales)
        onnx.helper.set_model_props(model, properties)
        model.producer_name, model.producer_version, model.doc_string = "coseg-bundle", __version__, ""
        if weights is not None:
            _without_weights(model.graph, set(network.state_dict()))
        partial.write_bytes(model.SerializeToString(deterministic=True))
        difference = _difference(network, OnnxNetwork(partial, weights, threads=torch.get_num_threads()))
        if not difference <= TOLERANCE:
            raise OnnxError(f"{path} was not written: it differs from PyTorch by {difference:.1g} (> {TOLERANCE}).")
    return difference


def metadata(about: About, weights_sha256: str, two_scales: bool) -> dict[str, str]:
    """What a file says of itself, as ONNX' `metadata_props`: texts, and JSON where there are several."""
    layout = HeadLayout(**about.network["layout"])
    return {
        "about": about.to_json(),
        "input": f"RGB (B, 3, H, W), float32 in [0, 1], sides multiples of {SIDE_MULTIPLE}, {about.mpp} um/px",
        "output": f"(B, {layout.channels}, H, W), float32; see channels",
        "channels": json.dumps(layout.channel_def(about.tissue_classes, about.nuclei_classes)),
        "mpp": str(about.mpp),
        "tissue_classes": json.dumps(about.tissue_classes),
        "nuclei_classes": json.dumps(about.nuclei_classes),
        "two_scales": str(two_scales),
        "weights_sha256": weights_sha256,
        "license": "graph: Apache-2.0; weights: as the file that they come from says (models/README.md)",
        "version": __version__,
    }


def _trace(network: nn.Module, path: Path) -> None:
    """Writes what the network does as ONNX, names of parameters kept. By tracing: `torch.export` takes more than ten
    minutes for sides that are free, and this seconds."""
    sides = {0: "batch", 2: "height", 3: "width"}
    images = torch.rand(2, 3, *_SIDES[0], generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python values that are the same for every image, and of the old exporter
        torch.onnx.export(
            network,
            (images,),
            str(path),
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: sides, OUTPUT: sides},
            opset_version=OPSET,
            do_constant_folding=False,  # onnxruntime does that; here it would take the names from the parameters
        )


def _strip(graph: Any) -> None:
    """Takes out names and notes that only tell how the graph was made."""
    graph.name, graph.doc_string = "coseg", ""
    for node in graph.node:
        node.name, node.doc_string = "", ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _strip(attribute.g)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.doc_string = ""


def _without_weights(graph: Any, names: set[str]) -> None:
    """Takes the values out of the parameters: what loads the graph gives them, by name."""
    import onnx

    for tensor in graph.initializer:
        if tensor.name in names:
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="model.pt")


def _difference(network: nn.Module, exported: OnnxNetwork) -> float:
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    with torch.no_grad():
        for batch, (height, width) in enumerate(_SIDES, start=1):
            images = torch.rand(batch, 3, height, width, generator=generator)
            largest = max(largest, float(np.abs(exported(images.numpy()) - network(images).numpy()).max()))
    return largest
