"""The released weights on two fixed images, a generated one and a part of the demonstration's, give the stored maps.

After a change of weights: `python tests/golden/test_golden.py` writes them anew; say why in the commit.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.data.images import read_image
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.demo import DEMO_IMAGE, DEMO_MPP
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics import panoptic_quality

HERE = Path(__file__).parent


def predict(name):
    predictor = Predictor.from_bundle(find_bundle_root(HERE.parent.parent), device="cpu", precision="fp32")
    assert predictor.settings["two_scales"]  # the weights say so themselves
    if name == "generated":
        return predictor.predict(synthetic_tissue(size=256, seed=11).rgb)
    return predictor.predict(np.ascontiguousarray(read_image(DEMO_IMAGE).rgb[:320, :320]), DEMO_MPP)  # tumour, vessel


@pytest.mark.parametrize(("name", "tissues"), [("generated", 1), ("breast", 1)])
def test_released_weights(name, tissues):
    prediction = predict(name)
    instances, tissue = (tifffile.imread(HERE / f"{name}_{part}.tif") for part in ("instances", "tissue"))
    assert len(np.unique(instances)) > 20
    assert len(np.unique(tissue)) == tissues
    assert panoptic_quality(prediction.instance_map, instances.astype(np.int32)).pq > 0.98  # processors round otherwise
    assert (prediction.tissue_map == tissue).mean() > 0.99


if __name__ == "__main__":
    for image in ("generated", "breast"):
        made = predict(image)
        tifffile.imwrite(HERE / f"{image}_instances.tif", made.instance_map.astype(np.uint16), compression="deflate")
        tifffile.imwrite(HERE / f"{image}_tissue.tif", made.tissue_map, compression="deflate")
