import pytest
import torch

from coseg_bundle.networks.blocks.layers import MLP, DropPath


def test_an_mlp_by_hand():
    mlp = MLP(1, 2, 1)
    with torch.no_grad():
        mlp.layers[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        mlp.layers[1].weight.fill_(3)
        for layer in mlp.layers:
            layer.bias.zero_()
    assert mlp(torch.tensor([[2.0], [-5.0]])).tolist() == [[6.0], [15.0]]  # 3 |x|


def test_drop_path_keeps_the_mean():
    torch.manual_seed(0)
    dropped = DropPath(0.25).train()(torch.ones(4000, 2))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert torch.equal(dropped[:, 0], dropped[:, 1])  # a sample whole or not at all
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)


def test_nothing_is_dropped_in_use():
    x = torch.rand(3, 2)
    assert DropPath(0.9).eval()(x) is x
    assert DropPath(0.0).train()(x) is x
