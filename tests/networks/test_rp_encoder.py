import math

import pytest
import torch

from coseg_bundle.networks.rp_encoder import (
    RegionPromptEncoder,
    RotaryAttention,
    RPEncoder,
    pooled,
    rotary_angles,
    rotate,
)


def test_rotation_by_hand():
    cos, sin = rotary_angles((1, 2), head_dim=4, device=torch.device("cpu"))  # pairs: one for y, one for x
    assert torch.allclose(cos, torch.tensor([[1.0, 1.0], [1.0, math.cos(1)]]))
    x = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 2, 4)
    turned = rotate(x, cos, sin)[0, 0]
    assert torch.allclose(turned[0], x[0, 0, 0])
    assert torch.allclose(turned[1], torch.tensor([1.0, math.cos(1), 0.0, math.sin(1)]))


def test_means_of_squares_by_hand():
    tokens = torch.tensor([[0.0, 1, 2, 4], [2, 3, 6, 8]]).view(1, 8, 1)  # two rows of four tokens
    assert pooled(tokens, (2, 4), 2).flatten().tolist() == [1.5, 5]
    assert pooled(tokens, (2, 4), 1) is tokens
    angles = rotary_angles((2, 4), 4, torch.device("cpu"), stride=2)
    assert torch.allclose(angles[1], torch.tensor([[0.5, 0.5], [0.5, 2.5]]).sin())  # their middles: y, x


def test_means_are_attended_to_as_their_tokens_where_those_are_alike():
    """Values are the same everywhere, so it does not matter how much of each is taken."""
    torch.manual_seed(0)
    each, squares = (RotaryAttention(8, 2, stride) for stride in (1, 2))
    squares.load_state_dict(each.state_dict())
    queries = torch.randn(1, 4 * 6, 8)
    seen = torch.randn(1, 1, 8).expand(1, 4 * 6, 8)
    with torch.no_grad():
        assert torch.allclose(each(queries, seen, (4, 6)), squares(queries, seen, (4, 6)), atol=1e-6)
        seen = torch.randn(1, 4 * 6, 8)
        assert not torch.allclose(each(queries, seen, (4, 6)), squares(queries, seen, (4, 6)), atol=1e-3)


def test_scores_depend_on_relative_positions_only():
    torch.manual_seed(0)
    q, k = torch.randn(2, 8)
    cos, sin = rotary_angles((5, 7), 8, torch.device("cpu"))

    def score(a: tuple[int, int], b: tuple[int, int]) -> float:
        i, j = a[0] * 7 + a[1], b[0] * 7 + b[1]
        turn = lambda v, n: rotate(v.view(1, 1, 1, 8), cos[n : n + 1], sin[n : n + 1])  # noqa: E731
        return float((turn(q, i) * turn(k, j)).sum())

    assert score((0, 1), (2, 3)) == pytest.approx(score((2, 4), (4, 6)), abs=1e-5)
    assert score((0, 1), (2, 3)) != pytest.approx(score((0, 1), (3, 2)), abs=1e-3)


def test_prompt_lies_on_the_grid_of_the_embeddings():
    encoder = RegionPromptEncoder(in_channels=3, embed_dim=32, mask_dim=16, num_heads=2, mlp_dim=64)
    prompt = encoder(torch.randn(2, 3, 64, 96), torch.randn(2, 32, 4, 6))
    assert prompt.shape == (2, 32, 4, 6)


def test_both_inputs_matter():
    torch.manual_seed(0)
    encoder = RPEncoder(tissue_classes=2, embed_dim=32, mlp_dim=64).from_tissue
    logits, z = torch.randn(1, 2, 32, 32), torch.randn(1, 32, 2, 2)
    base = encoder(logits, z)
    assert not torch.allclose(base, encoder(logits + torch.randn_like(logits), z), atol=1e-4)
    assert not torch.allclose(base, encoder(logits, z + 1), atol=1e-4)


def test_a_prompt_is_told_by_what_its_window_shows():
    torch.manual_seed(0)
    encoder = RegionPromptEncoder(in_channels=2, embed_dim=32, mask_dim=16, num_heads=1, mlp_dim=64, window=2)
    logits, z = torch.randn(1, 2, 48, 96), torch.randn(1, 32, 3, 6)
    changed = logits.clone()
    changed[..., 64:] += 1
    with torch.no_grad():
        before, after = encoder(logits, z), encoder(changed, z)
    assert before.shape == (1, 32, 3, 6)
    assert torch.equal(before[..., :4], after[..., :4])
    assert not torch.allclose(before[..., 4:], after[..., 4:], atol=1e-4)


def test_one_window_that_holds_all_is_none():
    torch.manual_seed(0)
    whole, windowed = (RegionPromptEncoder(2, 32, 16, 1, 64, window) for window in (0, 3))
    windowed.load_state_dict(whole.state_dict())
    logits, z = torch.randn(2, 2, 48, 48), torch.randn(2, 32, 3, 3)
    with torch.no_grad():
        assert torch.allclose(whole(logits, z), windowed(logits, z), atol=1e-5)


def test_heads_must_divide():
    with pytest.raises(ValueError, match="multiple of 4 x heads"):
        RotaryAttention(30, 1)


@pytest.mark.parametrize("stride", [-1, 0, 3, 4])
def test_strides_that_leave_tokens_out(stride):
    with pytest.raises(ValueError, match=f"Expected a stride of 1 or 2.*got {stride}"):
        RPEncoder(tissue_classes=2, embed_dim=32, stride=stride)


def test_weights_say_their_stride():
    said = {stride: RPEncoder(2, 32, mlp_dim=64, stride=stride).state_dict() for stride in (1, 2)}
    assert said[2].keys() - said[1].keys() == {"from_nuclei.stride"}
    with pytest.raises(RuntimeError, match="Missing"):
        RPEncoder(2, 32, mlp_dim=64, stride=2).load_state_dict(said[1])


def test_tissue_is_prompted_by_all_that_is_shown():
    torch.manual_seed(0)
    encoder = RPEncoder(tissue_classes=2, embed_dim=32, mlp_dim=64, window=2, stride=2)
    assert encoder.from_tissue.self_attention.stride == 1
    z = torch.randn(1, 32, 2, 4)
    near, far = (torch.cat([z[..., :2], part], dim=-1) for part in (z[..., 2:], torch.randn(1, 32, 2, 2)))
    to_nuclei = [encoder.from_tissue(torch.zeros(1, 2, 32, 64), part)[..., :2] for part in (near, far)]
    to_tissue = [encoder.from_nuclei(torch.zeros(1, 1, 32, 64), part)[..., :2] for part in (near, far)]
    assert torch.equal(*to_nuclei)
    assert not torch.allclose(*to_tissue, atol=1e-4)
