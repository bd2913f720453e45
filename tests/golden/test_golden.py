"""The released weights on a fixed generated image give the stored maps.

After a change of weights: `python tests/golden/test_golden.py` writes them anew; say why in the commit.
"""

from pathlib import Path

import numpy as np
import tifffile

from coseg_bundle.bundle_root import find_bundle_root
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.inferers import Predictor
from coseg_bundle.metrics import panoptic_quality

HERE = Path(__file__).parent


def released():
    return Predictor.from_bundle(find_bundle_root(HERE.parent.parent), device="cpu", amp=False)


def predict(predictor):
    return predictor.predict(synthetic_tissue(size=256, seed=11).rgb)


def test_released_weights():
    predictor = released()
    assert predictor.settings["two_scales"]  # they say so themselves
    prediction = predict(predictor)
    instances, tissue = (tifffile.imread(HERE / f"{name}.tif").astype(np.int32) for name in ("instances", "tissue"))
    assert len(np.unique(instances)) > 20
    assert panoptic_quality(prediction.instance_map, instances).pq > 0.98  # other processors round otherwise
    assert (prediction.tissue_map == tissue).mean() > 0.99


if __name__ == "__main__":
    made = predict(released())
    tifffile.imwrite(HERE / "instances.tif", made.instance_map.astype(np.uint16), compression="deflate")
    tifffile.imwrite(HERE / "tissue.tif", made.tissue_map, compression="deflate")
