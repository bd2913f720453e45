import json
import sys
from itertools import combinations

import pytest
import torch

from coseg_bundle.networks import About, HeadLayout, load_weights
from coseg_bundle.networks.about import build
from coseg_bundle.networks.weights_file import ABOUT

HEAVIER = {
    "layout": {"tissue_classes": 3, "nuclei_types": 4},
    "prompting": "crossed",
    "paradigm": "joint",
    "image_encoder": {"variant": "mini", "detail_depth": 2, "global_attention": False},
    "rp_encoder": {"tissue_classes": 3, "embed_dim": 128, "mlp_dim": 64, "window": 8},
    "mp_decoder": {
        "embed_dim": 128,
        "high_res_dims": [64, 64],
        "pixel_dims": [64, 48],
        "mlp_dim": 64,
        "subpixel": 2,
        "window": 8,
    },
}
CLASSES = {"tissue_classes": ("empty", "gland", "other"), "nuclei_classes": ("background", *"abcd"), "mpp": 0.25}


@pytest.fixture
def heavier():
    torch.manual_seed(0)
    network = build(HEAVIER).eval()
    for block in network.image_encoder.detail.blocks.modules():
        if hasattr(block, "narrow"):
            torch.nn.init.normal_(block.narrow.weight, std=0.02)
    return network


@pytest.fixture
def sizes(script, monkeypatch):
    """Sets what is to be left of the network: all of it, unless told otherwise."""

    def choose(detail_dims=(128, 128), mlp_ratio=4.0, left_out=()):
        monkeypatch.setattr(script, "DETAIL_DIMS", list(detail_dims))
        monkeypatch.setattr(script, "MLP_RATIO", mlp_ratio)
        monkeypatch.setattr(script, "LEFT_OUT", left_out)

    return choose


def test_by_hand(script):
    """Channels a, 0.01 b, noise and a + b; 4 a + 5 b + 7 is wanted: -a + 5 (a + b) + 7."""
    a, b, noise = torch.randn(3, 500, generator=torch.Generator().manual_seed(0))
    fewest = script.Fewest(4, 1)
    fewest.add(torch.stack([a, 0.01 * b, noise, a + b], 1), (4 * a + 5 * b + 7)[:, None])
    kept = fewest.kept(2)
    assert kept.tolist() == [0, 3]
    assert fewest.solved(kept)[:, 0].tolist() == pytest.approx([-1, 5, 7], abs=0.01)


@pytest.mark.parametrize("taps", [1, 2])
def test_what_goes_first_costs_least(script, taps):
    """The slow reference: least squares without each channel in turn."""
    generator = torch.Generator().manual_seed(taps)
    hidden = torch.randn(300, 5 * taps, generator=generator) @ torch.randn(5 * taps, 5 * taps, generator=generator)
    wanted = torch.randn(300, 3, generator=generator) + hidden @ torch.randn(5 * taps, 3, generator=generator)
    fewest = script.Fewest(5, 3, taps)
    for part in (slice(100), slice(100, None)):
        fewest.add(hidden[part], wanted[part])

    def cost(kept):
        columns = torch.cat([hidden.view(300, 5, taps)[:, list(kept)].flatten(1), torch.ones(300, 1)], 1)
        return (wanted - columns @ torch.linalg.lstsq(columns, wanted).solution).square().sum()

    best = min(combinations(range(5), 4), key=cost)
    kept = fewest.kept(4)
    assert tuple(kept.tolist()) == best
    columns = torch.cat([hidden.view(300, 5, taps)[:, kept].flatten(1), torch.ones(300, 1)], 1)
    left = (wanted - columns @ fewest.solved(kept).float()).square().sum()
    assert left.item() == pytest.approx(cost(best).item(), rel=1e-3)


def test_with_all_channels_it_says_the_same(script, sizes, heavier):
    sizes()
    images = torch.rand(1, 2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    lighter = script.cut(heavier, list(images))
    with torch.no_grad():
        before, after = heavier(images[0]), lighter(images[0])
    assert (before - after).abs().max() < 0.02 * before.std()


def test_a_file_becomes_one_of_a_lighter_network(script, sizes, heavier, tmp_path, monkeypatch):
    sizes((127, 126), 3.9, (4, 8))
    about = About.of(heavier, **CLASSES)
    torch.save(heavier.state_dict() | {ABOUT: about.to_tensor()}, tmp_path / "a.pt")
    images = torch.rand(1, 2, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(script, "crops_of", lambda datalist, about: list(images))
    monkeypatch.setattr(sys, "argv", ["lighter_weights.py", "x.json", str(tmp_path / "a.pt"), str(tmp_path / "b.pt")])
    script.main()
    said = About.of_file(tmp_path / "b.pt")
    assert said.nuclei_classes == about.nuclei_classes
    lighter = build(said.network).eval()
    load_weights(lighter, tmp_path / "b.pt")  # every parameter has its place
    assert lighter.layout == HeadLayout(3, 4)
    encoder = lighter.image_encoder
    assert len(encoder.trunk.blocks) == 10
    assert encoder.trunk.blocks[0].mlp.layers[0].out_features == 187
    assert [blocks[1].widen.out_channels for blocks in encoder.detail.blocks] == [127, 126]
    ours, theirs = (network.state_dict() for network in (lighter, heavier))
    assert torch.equal(
        ours["image_encoder.trunk.blocks.4.attn.qkv.weight"], theirs["image_encoder.trunk.blocks.5.attn.qkv.weight"]
    )
    assert all(torch.equal(ours[name], value) for name, value in theirs.items() if not name.startswith("image_encoder"))
    with torch.no_grad():
        before, after = heavier.image_encoder(images[0]), encoder(images[0])
    for one, other in zip(before.high_res_features, after.high_res_features, strict=True):
        assert (one - other).square().mean() < 0.05 * one.var()


def test_crops_are_those_of_a_training(script, generated, heavier, monkeypatch):
    monkeypatch.setattr(script, "BATCHES", 2)
    listed = json.loads(generated.read_text())
    sets = "cervix", "consep", "glas", "monuseg", "points", "puma", "tnbc"
    listed["training"] = [listed["training"][0] | {"dataset": name} for name in sets]
    datalist = generated.with_name("sets.json")
    datalist.write_text(json.dumps(listed))
    names = {"tissue_classes": ("empty", "gland", "other"), "nuclei_classes": ("background", "nucleus")}
    crops = script.crops_of(datalist, About.of(heavier, mpp=0.25, **names))
    assert [tuple(batch.shape) for batch in crops] == [(4, 3, 256, 256)] * 2
    assert all(0 <= batch.min() < batch.max() <= 1 for batch in crops)


def test_weights_that_say_nothing_of_themselves(script, heavier, tmp_path, monkeypatch):
    torch.save(heavier.state_dict(), tmp_path / "a.pt")
    monkeypatch.setattr(sys, "argv", ["lighter_weights.py", "x.json", str(tmp_path / "a.pt"), "b.pt"])
    with pytest.raises(SystemExit, match="does not say which network"):
        script.main()
