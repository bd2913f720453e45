from pathlib import Path

import numpy as np
import pytest
import torch

from coseg_bundle.classes import ClassMap
from coseg_bundle.inferers import Predictor, TiledInferer
from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing


class DarkNuclei(torch.nn.Module):
    """Stands in for a network: dark pixels are nucleus, reddish ones gland; it looks at one pixel at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pred = torch.zeros(image.shape[0], 7, *image.shape[-2:])
        pred[:, 1] = 20 * (image[:, 0] - image[:, 1] - 0.2)
        pred[:, 2] = 20 * (0.5 - image.mean(1))
        return pred


@pytest.fixture
def predictor() -> Predictor:
    return dark_nuclei()


def dark_nuclei() -> Predictor:
    layout = HeadLayout(2)
    names = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    return Predictor(DarkNuclei(), TiledInferer(64), PostProcessing(layout, min_tissue_area_px=16), *names, mpp=0.25)


def picture(height: int, width: int, nuclei: list[tuple[int, int]], side: int = 12) -> np.ndarray:
    """White, its left half reddish, with dark squares at the given corners."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    rgb[:, : width // 2] = (250, 150, 200)
    for y, x in nuclei:
        rgb[y : y + side, x : x + side] = (60, 20, 90)
    return rgb


def folder_of(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}
