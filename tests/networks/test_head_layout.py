import numpy as np
import pytest
import torch

from coseg_bundle.networks import HeadLayout


def test_split_by_hand():
    layout = HeadLayout(tissue_classes=2, nuclei_types=3)
    assert layout.groups == {"tissue_logits": 2, "nuclei_logits": 1, "hv_map": 2, "type_logits": 4, "disagreement": 2}
    pred = torch.arange(11.0).view(1, 11, 1, 1)
    parts = layout.split(pred)
    assert parts["hv_map"].flatten().tolist() == [3.0, 4.0]
    assert parts["disagreement"].flatten().tolist() == [9.0, 10.0]
    image = layout.split(np.zeros((11, 4, 5)), channel_dim=0)
    assert image["type_logits"].shape == (4, 4, 5)


def test_channel_def_has_a_name_for_every_channel():
    layout = HeadLayout(2, 2)
    names = layout.channel_def(["background", "gland"], ["background", "round", "spindle"])
    assert len(names) == layout.channels
    assert names["2"] == "nuclei logit"
    with pytest.raises(ValueError, match="3 nuclei class names"):
        layout.channel_def(["background", "gland"], ["background"])
    with pytest.raises(ValueError, match="2 tissue class names"):
        layout.channel_def(["gland"], [])


@pytest.mark.parametrize(
    ("tissue", "types", "words"), [(1, 0, "at least 2 tissue"), (2, 1, "0 .no types. or at least 2")]
)
def test_counts_out_of_range(tissue, types, words):
    with pytest.raises(ValueError, match=words):
        HeadLayout(tissue, types)


def test_wrong_channel_count():
    with pytest.raises(ValueError, match="Expected 7 channels"):
        HeadLayout(2).split(torch.zeros(1, 6, 2, 2))
