import numpy as np
import torch

from coseg_bundle.transforms import NucleiTargetsd, hv_map


def test_mask_and_hv_map():
    instances = torch.tensor([[[-1, 0, 3, 3]]], dtype=torch.int32)
    item = NucleiTargetsd()({"instances": instances, "image": "kept"})
    assert item["nuclei"].tolist() == [[[255, 0, 1, 1]]]
    assert np.array_equal(item["hv_map"], hv_map(instances[0].numpy()))
    assert item["image"] == "kept"
