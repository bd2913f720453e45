"""Fixtures: small networks, generated tissue, the real images where they are."""

from __future__ import annotations

import logging
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # two busy processes make OpenMP crawl

ROOT = Path(__file__).parent.parent
OFFLINE = Path(__file__).parent / "offline"
HELPERS = Path(__file__).parent / "helpers"  # stand-ins and slow references, imported by name
sys.path.insert(0, str(HELPERS))

# No test, and no Python process that a test starts, reaches another machine.
runpy.run_path(str(OFFLINE / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(OFFLINE), os.environ.get("PYTHONPATH"))))


@pytest.fixture(autouse=True)
def _no_handler_stays():
    """`coseg` logs to the stderr that it finds first, which is closed after the test that called it."""
    yield
    for handler in logging.root.handlers[:]:
        if type(handler) is logging.StreamHandler:
            logging.root.removeHandler(handler)


@pytest.fixture
def bundle_root() -> Path:
    return ROOT


@pytest.fixture
def real_data() -> Path:
    """The folder of the data sets, in the environment variable COSEG_DATA."""
    folder = os.environ.get("COSEG_DATA")
    if not folder:
        pytest.skip("COSEG_DATA does not name a folder with the real images")
    return Path(folder)


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datalist of four generated images of 96 pixels, one for validation."""
    from coseg_bundle.data.synthetic import write_dataset

    return write_dataset(tmp_path_factory.mktemp("generated"), count=4, size=96, seed=3)


@pytest.fixture(scope="session")
def make_network():
    """Builds a small CoSeg network; keyword arguments go to CoSeg, HeadLayout's to `layout`."""
    from coseg_bundle.networks import CoSeg, HeadLayout, HieraImageEncoder, MPDecoder, RPEncoder

    def build(
        layout: HeadLayout | None = None,
        variant: str = "mini",
        encoder: dict | None = None,
        subpixel: int = 1,
        window: int = 0,
        stride: int = 1,
        **kwargs,
    ) -> CoSeg:
        torch.manual_seed(0)
        prompted = kwargs.get("prompting", "crossed") != "none"
        layout = layout or HeadLayout(2, disagreement=prompted)
        image_encoder = HieraImageEncoder(variant, **{"global_attention": not window, **(encoder or {})})
        dim = image_encoder.embed_dim
        prompts = {"mlp_dim": 64, "window": window, "stride": stride}
        rp_encoder = RPEncoder(layout.tissue_classes, dim, **prompts) if prompted else None
        decoder = MPDecoder(layout, dim, image_encoder.high_res_dims, mlp_dim=64, subpixel=subpixel, window=window)
        return CoSeg(image_encoder, decoder, rp_encoder, **kwargs)

    return build
