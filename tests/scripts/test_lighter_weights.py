import sys

import pytest
import torch

from coseg_bundle.networks import About, HeadLayout, load_weights
from coseg_bundle.networks.about import build
from coseg_bundle.networks.weights_file import ABOUT

HEAVIER = {
    "layout": {"tissue_classes": 3, "nuclei_types": 4},
    "prompting": "crossed",
    "paradigm": "joint",
    "image_encoder": {"variant": "mini", "freeze_trunk": False, "detail_depth": 3},
    "rp_encoder": {"tissue_classes": 3, "embed_dim": 128, "mlp_dim": 64},
    "mp_decoder": {"embed_dim": 128, "high_res_dims": [64, 64], "pixel_dims": [64, 48], "mlp_dim": 64, "subpixel": 2},
}
CLASSES = {"tissue_classes": ("empty", "gland", "other"), "nuclei_classes": ("background", *"abcd"), "mpp": 0.25}


def test_channels_with_the_largest_weights_stay_in_their_order(script):
    layers = [torch.tensor([[0.0, 3, 1, 0], [0, 0, 0, 2]]), torch.tensor([[0.0, 0, 2, 0]])]
    assert script.most_weighed([layer[..., None, None] for layer in layers], 2).tolist() == [1, 2]  # 0, 9, 5, 4


def test_a_file_becomes_one_of_a_lighter_network(script, tmp_path, monkeypatch):
    torch.manual_seed(0)
    heavier = build(HEAVIER)
    about = About.of(heavier, **CLASSES)
    torch.save(heavier.state_dict() | {ABOUT: about.to_tensor()}, tmp_path / "a.pt")
    monkeypatch.setattr(sys, "argv", ["lighter_weights.py", str(tmp_path / "a.pt"), str(tmp_path / "b.pt")])
    script.main()
    said = About.of_file(tmp_path / "b.pt")
    assert said.nuclei_classes == about.nuclei_classes
    lighter = build(said.network)
    load_weights(lighter, tmp_path / "b.pt")  # every parameter has its place
    assert lighter.layout == HeadLayout(3, 4)
    for kept in ("trunk", "neck", "pyramid.laterals.0"):
        theirs, ours = heavier.image_encoder.get_submodule(kept), lighter.image_encoder.get_submodule(kept)
        for before, after in zip(theirs.parameters(), ours.parameters(), strict=True):
            assert torch.equal(before, after)
    rows = script.most_weighed([getattr(heavier.mp_decoder, head).skips[1].weight for head in ("tissue", "nuclei")], 48)
    before, after = (network.image_encoder.pyramid.laterals[1].weight for network in (heavier, lighter))
    assert torch.equal(after, before[rows])
    before, after = (network.mp_decoder.nuclei.skips[1].weight for network in (heavier, lighter))
    assert torch.equal(after, before[:, rows])


def test_a_network_of_another_form(script):
    about = About.of(build(HEAVIER), **CLASSES)
    with pytest.raises(KeyError):
        script.cut({}, about)
