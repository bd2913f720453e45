import numpy as np
import torch

from coseg_bundle.transforms import NucleiTargetsd, hv_map


def test_mask_and_hv_map():
    instances = torch.tensor([[[-1, 0, 3, 3]]], dtype=torch.int32)
    item = NucleiTargetsd()({"instances": instances, "image": "kept"})
    assert item["nuclei"].tolist() == [[[255, 0, 1, 1]]]
    assert np.array_equal(item["hv_map"], hv_map(instances[0].numpy()))
    assert item["image"] == "kept"


def test_a_mirrored_copy_has_a_centre_of_its_own():
    """Near the border of an image a nucleus and its mirrored copy share an id."""
    instances = torch.tensor([[[4, 4, 4, 0, 4, 4, 4]]], dtype=torch.int32)
    x = NucleiTargetsd()({"instances": instances})["hv_map"][0, 0]
    assert x.tolist() == [-1, 0, 1, 0, -1, 0, 1]


def test_touching_nuclei_stay_two():
    x = NucleiTargetsd()({"instances": torch.tensor([[[4, 4, 4, 9, 9, 9]]])})["hv_map"][0, 0]
    assert x.tolist() == [-1, 0, 1, -1, 0, 1]


def test_ids_beyond_int32_are_nuclei_too():
    """2**32 was background, and 2**32 - 1 unlabelled."""
    instances = torch.tensor([[[2**32, 2**32, 2**32, 2**32 - 1, 2**32 - 1, 2**32 - 1, -1, 0]]])
    item = NucleiTargetsd()({"instances": instances})
    assert item["nuclei"].tolist() == [[[1, 1, 1, 1, 1, 1, 255, 0]]]
    assert item["hv_map"][0, 0].tolist() == [-1, 0, 1, -1, 0, 1, 0, 0]
