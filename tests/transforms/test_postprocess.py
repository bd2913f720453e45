import numpy as np
import torch

from coseg_bundle.networks import HeadLayout
from coseg_bundle.postprocessing.prediction import PostProcessing
from coseg_bundle.transforms import ForgetClassesd, SegmentMapsd


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
    assert not item["pred_types"].any()  # the layout has no types
    assert "pred_table" not in SegmentMapsd(PostProcessing(layout))({"pred": pred})


def test_types_of_two_nuclei():
    layout = HeadLayout(2, nuclei_types=2)
    pred = torch.full((layout.channels, 32, 32), -5.0)
    parts = layout.split(pred[None])  # views
    parts["nuclei_logits"][0, :, 4:12, 4:12] = parts["nuclei_logits"][0, :, 20:28, 20:28] = 5.0
    parts["hv_map"][:] = 0
    parts["type_logits"][0, 1, :16], parts["type_logits"][0, 2, 16:] = 5.0, 5.0
    types = SegmentMapsd(PostProcessing(layout), table=True)({"pred": pred})["pred_types"]
    assert (types.shape, types.dtype) == ((1, 32, 32), torch.uint8)
    assert [types[0, 8, 8], types[0, 24, 24], types[0, 0, 0]] == [1, 2, 0]


def test_classes_that_labels_do_not_know():
    maps = {"pred_tissue": torch.tensor([[[0, 1, 2, 3]]], dtype=torch.uint8), "pred_instances": torch.tensor([[[4]]])}
    found = ForgetClassesd(tissue=[2, 3], types=[1])(maps)
    assert found["pred_tissue"].tolist() == [[[0, 1, 0, 0]]]
    assert found["pred_instances"].tolist() == [[[4]]]
    assert maps["pred_tissue"].tolist() == [[[0, 1, 2, 3]]]
    assert ForgetClassesd()(maps)["pred_tissue"] is maps["pred_tissue"]
