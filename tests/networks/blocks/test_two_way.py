"""The two-way transformer: by hand, and to the bit that of sam2 1.1.0 where that is installed."""

import math

import pytest
import torch

from coseg_bundle.networks.blocks.two_way import Attention, RandomPositions, TwoWayTransformer


def test_attention_by_hand():
    attention = Attention(1, 1, 1)
    with torch.no_grad():
        for layer in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
            layer.weight.fill_(1)
            layer.bias.zero_()
    keys = torch.tensor([[[0.0], [math.log(3)]]])  # exp(k q) is 1 and 3 for a query of 1
    values = torch.tensor([[[0.0], [4.0]]])
    assert attention(torch.tensor([[[1.0]]]), keys, values).item() == pytest.approx(3)


def test_positions_by_hand():
    positions = RandomPositions(1)
    positions.positional_encoding_gaussian_matrix.copy_(torch.tensor([[0.25], [0.0]]))  # x only
    encoded = positions(2, 2)  # x is -0.5 and 0.5: an eighth of a turn
    assert encoded[0].flatten().tolist() == pytest.approx([-math.sin(math.pi / 4), math.sin(math.pi / 4)] * 2)
    assert encoded[1].flatten().tolist() == pytest.approx([math.cos(math.pi / 4)] * 4)


def test_to_the_bit_sam2():
    transformer = pytest.importorskip("sam2.modeling.sam.transformer", reason="sam2 is not installed")
    from sam2.modeling.position_encoding import PositionEmbeddingRandom

    torch.manual_seed(0)
    ours, theirs = TwoWayTransformer(2, 32, 4, 64), transformer.TwoWayTransformer(2, 32, 4, 64)
    theirs.load_state_dict(ours.state_dict())
    our_positions, their_positions = RandomPositions(16), PositionEmbeddingRandom(16)
    their_positions.load_state_dict(our_positions.state_dict())
    positions = our_positions(3, 5)
    assert torch.equal(positions, their_positions((3, 5)))
    image, tokens = torch.rand(2, 32, 3, 5), torch.rand(2, 6, 32)
    positions = positions.expand(2, -1, -1, -1)
    for a, b in zip(ours(image, positions, tokens), theirs(image, positions, tokens), strict=True):
        assert torch.equal(a, b)
