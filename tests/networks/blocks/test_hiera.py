"""The trunk and the neck: by hand, and to the bit those of sam2 1.1.0 where that is installed."""

import pytest
import torch

from coseg_bundle.networks.blocks.hiera import HieraTrunk, Neck, from_windows, pool, stretched, to_windows
from coseg_bundle.networks.blocks.variants import VARIANTS

SAM2_NAMES = {"windows": "window_spec", "global_blocks": "global_att_blocks"}
SAM2_NAMES["background_size"] = "window_pos_embed_bkg_spatial_size"


def test_windows_by_hand():
    tokens = torch.arange(6.0).view(1, 2, 3, 1)  # 0 1 2 / 3 4 5
    windows = to_windows(tokens, 2)
    assert windows[..., 0].tolist() == [[[0, 1], [3, 4]], [[2, 0], [5, 0]]]
    assert torch.equal(from_windows(windows, 2, 1, 2, 3), tokens)
    assert pool(tokens)[..., 0].tolist() == [[[4]]]


@pytest.mark.parametrize(("height", "width", "side"), [(8, 8, 4), (5, 9, 4), (1, 1, 7)])
def test_windows_come_back(height, width, side):
    tokens = torch.rand(2, height, width, 3)
    windows = to_windows(tokens, side)
    assert windows.shape[1:] == (side, side, 3)
    assert torch.equal(from_windows(windows, side, 2, height, width), tokens)


def test_attention_stays_within_windows():
    torch.manual_seed(0)
    sizes = VARIANTS["mini"].trunk | {"global_blocks": (), "stages": (1, 1, 1, 1)}
    trunk = HieraTrunk(**sizes).eval()
    image = torch.rand(1, 3, 64, 64)
    other = image.clone()
    other[..., 40:, 40:] += 1  # patches reach 3 px, windows of stage 1 are 32 px wide
    with torch.no_grad():
        same = (trunk(image)[0] == trunk(other)[0]).all(1)[0]
    assert same[:, :8].all()
    assert same[:8].all()
    assert not same[8:, 8:].any()


def test_the_neck_by_hand():
    neck = Neck(1, (1, 1, 1), top_down_levels=(1,))
    for lateral in neck.convs:
        torch.nn.init.ones_(lateral.conv.weight)
        torch.nn.init.zeros_(lateral.conv.bias)
    fine, middle, coarse = (torch.full((1, 1, side, side), float(side)) for side in (4, 2, 1))
    with torch.no_grad():
        values = [feature.unique().tolist() for feature in neck([fine, middle, coarse])]
    assert values == [[4], [3], [1]]  # only the middle one adds what is coarser


@pytest.mark.parametrize(("height", "width"), [(7, 5), (8, 8), (24, 56), (3, 40)])
def test_two_products_stretch_as_pytorch_does(height, width):
    maps = torch.randn(1, 6, 7, 5)
    with torch.no_grad():
        fast = stretched(maps, height, width)
    torch.testing.assert_close(fast, stretched(maps, height, width), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("variant", ["mini", "tiny"])
@pytest.mark.parametrize("training", [False, True])
def test_to_the_bit_sam2(variant, training):
    hieradet = pytest.importorskip("sam2.modeling.backbones.hieradet", reason="sam2 is not installed")
    from sam2.modeling.backbones.image_encoder import FpnNeck
    from sam2.modeling.position_encoding import PositionEmbeddingSine

    sizes = VARIANTS[variant]
    theirs = hieradet.Hiera(**{SAM2_NAMES.get(name, name): value for name, value in sizes.trunk.items()})
    levels = list(sizes.top_down_levels)
    their_neck = FpnNeck(
        PositionEmbeddingSine(256), 256, theirs.channel_list, fpn_top_down_levels=levels, fpn_interp_model="nearest"
    )
    torch.manual_seed(0)
    ours, neck = HieraTrunk(**sizes.trunk), Neck(256, theirs.channel_list, levels)
    for parameter in ours.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    theirs.load_state_dict(ours.state_dict())
    their_neck.load_state_dict(neck.state_dict())
    image = torch.rand(2, 3, 96, 160)
    found, expected = neck(ours.train(training)(image)), their_neck(theirs.train(training)(image))[0]
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)
    sum(feature.sum() for feature in found).backward()
    sum(feature.sum() for feature in expected).backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    assert all(torch.equal(p.grad, gradients[name]) for name, p in ours.named_parameters())


def test_drop_path_is_sam2s():
    hieradet = pytest.importorskip("sam2.modeling.backbones.hieradet", reason="sam2 is not installed")
    trunk = VARIANTS["mini"].trunk
    ours = HieraTrunk(**trunk, drop_path_rate=0.5).train()
    theirs = hieradet.Hiera(
        **{SAM2_NAMES.get(name, name): value for name, value in trunk.items()}, drop_path_rate=0.5
    ).train()
    theirs.load_state_dict(ours.state_dict())
    image = torch.rand(2, 3, 64, 64)
    answers = []
    for each in (ours, theirs):
        torch.manual_seed(7)
        answers.append(each(image)[-1])
    assert torch.equal(*answers)
