import pytest
import torch
from torch import nn

from coseg_bundle.optimizers import MuonAdamW


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)), "decoder": nn.Linear(8, 8)})


def step(network, **options):
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    optimizer = MuonAdamW(network, lr=0.01, precision="fp32", **options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 1.0)
    x = torch.ones(2, 8)
    network["decoder"](network["encoder"](x)).square().sum().backward()
    optimizer.step()
    schedule.step()
    moved = {name: (parameter - before[name]).norm().item() for name, parameter in network.named_parameters()}
    return moved, optimizer


def test_a_part_learns_at_its_share(network):
    whole, _ = step(network)
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    network.zero_grad()
    slow, optimizer = step(network, part_rates={"encoder": 0.1, "encoder.1": 0.5})
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.001, 0.005, 0.01])
    assert slow["decoder.bias"] == pytest.approx(whole["decoder.bias"], rel=1e-3)
    assert slow["encoder.0.bias"] == pytest.approx(whole["encoder.0.bias"] / 10, rel=1e-3)
    assert slow["encoder.1.bias"] == pytest.approx(whole["encoder.1.bias"] / 2, rel=1e-3)


def test_the_state_comes_back(network):
    _, optimizer = step(network, part_rates={"encoder": 0.1})
    other = MuonAdamW(network, lr=0.01, precision="fp32", part_rates={"encoder": 0.1})
    other.load_state_dict(optimizer.state_dict())
    assert [g["lr"] for g in other.param_groups] == [g["lr"] for g in optimizer.param_groups]


def test_what_is_refused(network):
    with pytest.raises(ValueError, match="no part trunk for part_rates; expected names such as encoder, decoder"):
        MuonAdamW(network, lr=0.01, part_rates={"trunk": 0.1})
    with pytest.raises(ValueError, match="Expected shares above 0 in part_rates, got encoder: 0"):
        MuonAdamW(network, lr=0.01, part_rates={"encoder": 0})
