"""A finished slide with two classes of nuclei, and a finished image, both from the stand-in of a network."""

from __future__ import annotations

import numpy as np
import pytest
from maps import discs
from PIL import Image
from standin import two_classes

from coseg_bundle.classes import ClassMap
from coseg_bundle.data.images import read_image
from coseg_bundle.fingerprint import fingerprint
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.postprocessing.prediction import Prediction
from coseg_bundle.writers.results import write_results


@pytest.fixture(scope="session")
def slide(tmp_path_factory):
    """Results of 900 x 700 px with some 500 nuclei, the left half gland."""
    return two_classes(tmp_path_factory.mktemp("slide"), discs(900, 900, seed=4)[:700])


@pytest.fixture(scope="session")
def image(tmp_path_factory):
    """Results of an image of 200 x 160 px, as `coseg predict` writes them."""
    folder = tmp_path_factory.mktemp("image")
    rng = np.random.default_rng(0)
    rgb = np.full((160, 200, 3), (220, 150, 190), np.uint8)
    instances = discs(200, 60, seed=1)[:160]
    rgb[instances > 0] = (90, 60, 140)
    Image.fromarray(rgb).save(folder / "image.png")
    tissue = np.zeros((160, 200), np.uint8)
    tissue[:, 100:] = 1
    probability = rng.uniform(0.6, 1, instances.shape).astype(np.float32)
    table = instance_table(instances, nuclei_prob=probability, tissue_map=tissue)
    prediction = Prediction(instances, table, tissue, 0.5)
    classes = ClassMap(("background", "gland")), ClassMap(("background", "nucleus"))
    made_from = {"kind": "predict", "file": str(folder / "image.png"), "content": fingerprint(folder / "image.png")}
    write_results(
        folder / "results", read_image(folder / "image.png"), prediction, *classes, extra={"made_from": made_from}
    )
    return folder / "results"
