"""A network whose answer is known, and the command line in this process with that network in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from coseg_bundle.classes import ClassMap
from coseg_bundle.inferers import Predictor, TiledInferer
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing

HEIGHT, WIDTH, SIDE = 48, 64, 12
CORNERS = ((4, 6), (24, 20), (8, 46))
"""Left upper corners (row, column) of the nuclei in `picture`; no turn or mirror gives the same three."""


class DarkNuclei(torch.nn.Module):
    """Dark pixels are nucleus, the rest of what is not white is gland; it looks at one pixel at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`pred` `(B, 7, H, W)`."""
        pred = torch.zeros(image.shape[0], 7, *image.shape[-2:])
        pred[:, 1] = 20 * (image[:, 0] - image[:, 1] - 0.1)
        pred[:, 2] = 20 * (0.45 - image.mean(1))
        return pred


class Recording(Predictor):
    """A predictor that keeps the images it is given."""

    def predict(self, rgb: np.ndarray, *args: Any, **kwargs: Any) -> Any:
        """Keeps the image and goes on."""
        READ.append(rgb)
        return super().predict(rgb, *args, **kwargs)


READ: list[np.ndarray] = []
"""The images that `coseg predict` gave to the network, in order, since `stand_in` began."""


def predictor(*_: Any, **__: Any) -> Predictor:
    """Stands in for `Predictor.from_bundle`."""
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    post = PostProcessing(HeadLayout(2), sobel_size=11, nucleus_opening_px=5, min_tissue_area_px=16)
    settings = {"precision": {"name": "fp32", "reason": "the stand-in's"}, "two_scales": False, "flips": False}
    return Recording(DarkNuclei(), TiledInferer(64), post, *names, mpp=0.25, settings=settings)


@contextmanager
def stand_in(monkeypatch: pytest.MonkeyPatch, with_weights: bool = False) -> Iterator[None]:
    """Puts the network into `coseg predict` and `coseg slide`, and slides' workers into this process.

    Args:
        monkeypatch: Pytest's.
        with_weights: Whether weights are what the case is about: then the predictor is what the command says.
    """
    from coseg_bundle.commands.segmenting import slide
    from coseg_bundle.wsi.run.workers import InlineWorkers

    READ.clear()
    with monkeypatch.context() as patch:
        if not with_weights:
            patch.setattr(Predictor, "from_bundle", predictor)
        patch.setattr(slide, "_workers", lambda arguments, make, gpu: InlineWorkers(make))
        yield


def picture(corners: tuple[tuple[int, int], ...] = CORNERS, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Pink tissue `(H, W, 3)` uint8 with dark squares, and a little noise in all of it."""
    noise = np.random.default_rng(5).integers(-8, 9, (height, width, 3))
    rgb = np.full((height, width, 3), (220, 150, 190)) + noise
    for row, column in corners:
        rgb[row : row + SIDE, column : column + SIDE] = np.array((70, 40, 110)) + noise[:SIDE, :SIDE]
    return rgb.astype(np.uint8)


def instances(corners: tuple[tuple[int, int], ...] = CORNERS, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The nuclei of `picture` as an instance map, int32."""
    label = np.zeros((height, width), np.int32)
    for number, (row, column) in enumerate(corners, start=1):
        label[row : row + SIDE, column : column + SIDE] = number
    return label


def centres(corners: tuple[tuple[int, int], ...] = CORNERS) -> list[tuple[float, float]]:
    """Where the nuclei's middles are, x and y, px, sorted."""
    return sorted((column + SIDE / 2, row + SIDE / 2) for row, column in corners)


def write(*steps: tuple[str, Any]) -> Callable[[Path], None]:
    """Makes files: for each name, bytes, text, or a function that writes a path."""

    def make(folder: Path) -> None:
        for name, content in steps:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if callable(content):
                content(path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content, encoding="utf-8")

    return make
