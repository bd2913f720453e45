import numpy as np
import torch

from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.transforms import SegmentMapsd


def test_maps_and_table():
    layout = HeadLayout(2)
    pred = torch.zeros(layout.channels, 32, 32)
    pred[1] = 3.0  # tissue class 1 everywhere
    pred[2] = -5.0
    pred[2, 8:20, 8:20] = 5.0  # one nucleus
    item = SegmentMapsd(PostProcessing(layout), table=True)({"pred": pred.bfloat16(), "kept": 1})
    assert item["kept"] == 1
    assert item["pred_instances"].shape == item["pred_tissue"].shape == (1, 32, 32)
    assert item["pred_instances"].dtype == torch.int32
    assert (np.asarray(item["pred_instances"]) > 0).sum() == 144
    assert (item["pred_tissue"] == 1).all()
    assert item["pred_table"].area_px.tolist() == [144]
    assert "pred_table" not in SegmentMapsd(PostProcessing(layout))({"pred": pred})
