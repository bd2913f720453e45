import copy

import numpy as np
import pytest
import torch
from torch import nn

from coseg_bundle.optimizers import MuonAdamW
from coseg_bundle.optimizers.muon_adamw import StackedMuon, orthogonalised


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(6, 4)
        self.convolution = nn.Conv2d(3, 3, 1)
        self.embedding = nn.Embedding(5, 4)
        self.hypernetworks = nn.ModuleList([nn.Linear(4, 2)])


def with_gradients(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for parameter in network.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return network


def test_update_of_a_matrix_is_orthogonal():
    network = with_gradients(Network())
    before = network.hidden.weight.detach().clone()
    MuonAdamW(network, lr=0.1).step()
    update = (before - network.hidden.weight.detach()) / (0.1 * 0.2 * 6**0.5)  # AdamW's size: 0.2 sqrt(longer side)
    singular = torch.linalg.svdvals(update)
    assert singular.min() > 0.5  # Newton-Schulz brings them near 1, a gradient's own range over a factor of 10
    assert singular.max() < 1.5


def test_only_hidden_matrices_take_muon():
    network = Network()
    optimizer = MuonAdamW(network, lr=0.1)
    taken = [parameter for group in optimizer.parts["muon"].param_groups for parameter in group["params"]]
    assert [id(parameter) for parameter in taken] == [id(network.hidden.weight)]
    counted = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
    assert counted == sum(p.numel() for p in network.parameters())


def test_convolutions_take_muon():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3), nn.ConvTranspose2d(6, 4, 2), nn.Linear(4, 4))
    optimizer = MuonAdamW(network, lr=0.1)
    taken = {id(parameter) for group in optimizer.parts["muon"].param_groups for parameter in group["params"]}
    assert taken == {id(network[i].weight) for i in (1, 2, 3)}  # the first one sees colours


def test_a_kernel_moves_as_its_matrix_does():
    start = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    kernel = nn.Parameter(start.clone(memory_format=torch.channels_last))
    matrix = nn.Parameter(start.flatten(1).clone())
    ours, theirs = muon(StackedMuon, [kernel]), muon(torch.optim.Muon, [matrix])
    for seed in range(3):
        kernel.grad = torch.randn(start.shape, generator=torch.Generator().manual_seed(seed))
        matrix.grad = kernel.grad.flatten(1)
        ours.step()
        theirs.step()
    assert (matrix - start.flatten(1)).abs().max() > 0.05
    torch.testing.assert_close(kernel.flatten(1), matrix, rtol=0, atol=2e-3)  # bf16


def steps_with_an_outlier(network, max_grad_norm):
    """Where the hidden matrix moves in the step after a gradient 1000 times as long."""
    optimizer = MuonAdamW(network, lr=0.1, max_grad_norm=max_grad_norm)
    for seed, length in ((0, 1.0), (1, 1000.0), (0, 1.0)):
        with_gradients(network, seed)
        for parameter in network.parameters():
            parameter.grad *= length
        before = network.hidden.weight.detach().clone()
        optimizer.step()
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in network.parameters()])
    return (network.hidden.weight.detach() - before).flatten(), norm


def test_clipped_gradients_leave_the_direction_to_the_others():
    network = Network()
    free, _ = steps_with_an_outlier(copy.deepcopy(network), None)
    clipped, norm = steps_with_an_outlier(copy.deepcopy(network), 1.0)
    usual = -with_gradients(copy.deepcopy(network)).hidden.weight.grad.flatten()
    assert norm.item() == pytest.approx(1)
    assert torch.cosine_similarity(clipped, usual, dim=0) > 0.4
    assert torch.cosine_similarity(clipped, usual, dim=0) > torch.cosine_similarity(free, usual, dim=0) + 0.2
    small, _ = steps_with_an_outlier(copy.deepcopy(network), 1e9)
    torch.testing.assert_close(small, free, rtol=0, atol=0)


@pytest.mark.parametrize("norm", [0.0, -1.0, float("nan")])
def test_a_norm_that_is_none(norm):
    with pytest.raises(ValueError, match="max_grad_norm above 0"):
        MuonAdamW(Network(), lr=0.1, max_grad_norm=norm)


def test_rest_is_plain_adamw():
    ours, plain = Network(), Network()
    plain.load_state_dict(ours.state_dict())
    MuonAdamW(with_gradients(ours), lr=0.1, weight_decay=0.3).step()
    torch.optim.AdamW(with_gradients(plain).parameters(), lr=0.1, weight_decay=0.3).step()
    torch.testing.assert_close(ours.convolution.weight, plain.convolution.weight, rtol=0, atol=0)
    torch.testing.assert_close(ours.hypernetworks[0].weight, plain.hypernetworks[0].weight, rtol=0, atol=0)


def test_schedule_reaches_both():
    optimizer = MuonAdamW(with_gradients(Network()), lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    optimizer.step()
    schedule.step()
    assert [part.param_groups[0]["lr"] for part in optimizer.parts.values()] == [0.5, 0.5]


def test_resumed_equals_uninterrupted():
    network = Network()
    optimizer = MuonAdamW(network, lr=0.1)
    with_gradients(network)
    optimizer.step()
    resumed = copy.deepcopy(network)
    other = MuonAdamW(resumed, lr=0.7)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as a checkpoint file does
    for net, opt in ((network, optimizer), (resumed, other)):
        with_gradients(net, seed=1)
        opt.step()
    for expected, actual in zip(network.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0, atol=0)


def test_frozen_parameters_stay():
    network = with_gradients(Network())
    network.hidden.requires_grad_(False)
    before = network.hidden.weight.clone()
    optimizer = MuonAdamW(network, lr=0.1)
    optimizer.step()
    assert torch.equal(network.hidden.weight, before)
    assert set(optimizer.parts) == {"adamw"}


def test_closure_gives_the_loss():
    network = Network()
    optimizer = MuonAdamW(network, lr=0.1)

    def closure():
        loss = network.hidden.weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).requires_grad


def test_nothing_to_train():
    with pytest.raises(ValueError, match="nothing to train"):
        MuonAdamW(Network().requires_grad_(False), lr=0.1)


def test_state_of_another_optimizer():
    network = Network()
    with pytest.raises(ValueError, match="written with another optimizer"):
        MuonAdamW(network, lr=0.1).load_state_dict(torch.optim.SGD(network.parameters(), lr=0.1).state_dict())


SHAPES = [(12, 5), (12, 5), (5, 12), (5, 12), (5, 12), (8, 8), (1, 6)]
STILL = 3
"""The matrix that never has a gradient."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def matrices():
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]


def muon(kind, parameters, nesterov=True):
    size = {} if kind is StackedMuon else {"adjust_lr_fn": "match_rms_adamw"}
    return kind(parameters, lr=0.1, weight_decay=0.1, nesterov=nesterov, **size)


def step_with(optimizer, parameters, seed):
    generator = torch.Generator().manual_seed(100 + seed)
    for number, parameter in enumerate(parameters):
        gradient = torch.randn(parameter.shape, generator=generator)
        parameter.grad = None if number == STILL else gradient
    optimizer.step()


@pytest.mark.parametrize("nesterov", [True, False])
def test_stacked_equals_pytorchs_muon(nesterov):
    ours, theirs, start = matrices(), matrices(), matrices()
    stacked, one_by_one = muon(StackedMuon, ours, nesterov), muon(torch.optim.Muon, theirs, nesterov)
    for seed in range(5):
        step_with(stacked, ours, seed)
        step_with(one_by_one, theirs, seed)
        for found, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)  # bf16; entries move by 0.02 a step
    moved = [(now - before).abs().max().item() for now, before in zip(ours, start, strict=True)]
    assert moved.pop(STILL) == 0
    assert min(moved) > 0.05


@pytest.mark.parametrize(("first", "second"), [(StackedMuon, torch.optim.Muon), (torch.optim.Muon, StackedMuon)])
def test_state_is_pytorchs(first, second):
    parameters = matrices()
    optimizer = muon(first, parameters)
    for seed in range(3):
        step_with(optimizer, parameters, seed)
    others = [nn.Parameter(parameter.detach().clone()) for parameter in parameters]
    other = second(others, lr=0.7)  # the state brings all options along
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0].keys() == optimizer.param_groups[0].keys()
    assert other.state_dict()["state"].keys() == optimizer.state_dict()["state"].keys()
    step_with(optimizer, parameters, 3)
    step_with(other, others, 3)
    for found, expected in zip(others, parameters, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)
    for found, expected in zip(others, parameters, strict=True):
        if found.grad is not None:
            buffers = other.state[found]["momentum_buffer"], optimizer.state[expected]["momentum_buffer"]
            torch.testing.assert_close(*buffers)


def test_stacked_groups_have_their_own_rates():
    fast, slow = (nn.Parameter(torch.ones(3, 4)) for _ in range(2))
    optimizer = StackedMuon([{"params": [fast], "lr": 0.1}, {"params": [slow], "lr": 0.01}], lr=0.1)
    for parameter in (fast, slow):
        parameter.grad = torch.eye(3, 4)
    optimizer.step()
    torch.testing.assert_close(fast - 1, 10 * (slow - 1), rtol=1e-3, atol=1e-5)


def test_stacked_closure_gives_the_loss():
    weight = nn.Parameter(torch.eye(3))
    optimizer = muon(StackedMuon, [weight])

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3
    assert not torch.equal(weight, torch.eye(3))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(8, 5), (5, 8), (6, 6)])
def test_orthogonalised_brings_singular_values_near_1(shape, dtype):
    """Directions stay, lengths become alike: near the polar factor U V^T of U S V^T."""
    matrices = (
        torch.randn(4, *shape, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1e-3, 1, 10, 1e3])[:, None, None]
    )
    u, s, vh = torch.linalg.svd(matrices, full_matrices=False)
    found = orthogonalised(matrices.to(dtype), COEFFICIENTS, steps=5, eps=1e-7)
    assert (found.shape, found.dtype) == (matrices.shape, dtype)
    assert (s.max(1).values / s.min(1).values).min() > 2
    singular = torch.linalg.svdvals(found.float())
    assert singular.min() > 0.6
    assert singular.max() < 1.3
    assert torch.cosine_similarity(found.float().flatten(1), (u @ vh).flatten(1)).min() > 0.95


def newton_schulz(matrix, steps=5):
    """Jordan et al. 2024, one matrix, in float64, term by term."""
    a, b, c = COEFFICIENTS
    x = matrix.astype(np.float64) / np.linalg.norm(matrix)
    for _ in range(steps):
        x = a * x + b * (x @ x.T) @ x + c * (x @ x.T) @ (x @ x.T) @ x
    return x


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (6, 6), (1, 4), (4, 16), (16, 4)])
def test_orthogonalised_is_the_published_iteration(shape, dtype, tolerance):
    stack = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1))
    found = orthogonalised(stack.to(dtype), COEFFICIENTS, steps=5, eps=1e-7).float().numpy()
    for one, matrix in zip(found, stack.numpy(), strict=True):
        np.testing.assert_allclose(one, newton_schulz(matrix), rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(16, 64), (64, 16)])
def test_orthogonalised_from_the_gram_matrix_bears_small_singular_values(shape):
    """A gradient of a trained network: directions over six decades, and three that are not there at all."""
    u, _, vh = torch.linalg.svd(torch.randn(2, *shape, generator=torch.Generator().manual_seed(2)), full_matrices=False)
    singular = torch.cat([torch.logspace(0, -6, 13), torch.zeros(3)])
    stack = torch.cat([(u * singular) @ vh, torch.zeros(1, *shape)])
    found = orthogonalised(stack, COEFFICIENTS, steps=5, eps=1e-7).numpy()
    for one, matrix in zip(found[:2], stack.numpy()[:2], strict=True):
        np.testing.assert_allclose(one, newton_schulz(matrix), rtol=0, atol=1e-3)
    assert not found[2].any()  # no gradient, no step


def test_precision_is_that_of_the_orthogonalisation():
    """Full precision goes where half precision goes, but for rounding; weights stay in full precision."""
    start = Network()
    moved = {}
    for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        network = copy.deepcopy(start)
        optimizer = MuonAdamW(network, lr=0.1, precision=precision)
        assert optimizer.parts["muon"].dtype == dtype
        with_gradients(network)
        optimizer.step()
        assert network.hidden.weight.dtype == torch.float32
        moved[precision] = network.hidden.weight.detach() - start.hidden.weight.detach()
    expected = -0.1 * 0.2 * 6**0.5 * newton_schulz(network.hidden.weight.grad.numpy())
    np.testing.assert_allclose(moved["fp32"].numpy(), expected, rtol=0, atol=1e-5)
    assert 0 < (moved["fp32"] - moved["bf16"]).abs().max() < 2e-3
    with pytest.raises(ValueError, match="for training on cpu, got fp16"):
        MuonAdamW(start, lr=0.1, precision="fp16")


def test_orthogonalised_one_by_one_and_nothing():
    stack = torch.randn(3, 4, 7, generator=torch.Generator().manual_seed(0))
    stack[1] = 0
    found = orthogonalised(stack, COEFFICIENTS, steps=5, eps=1e-7).float()
    assert not found[1].any()  # a gradient of 0 is no direction
    for number in (0, 2):
        alone = orthogonalised(stack[number : number + 1], COEFFICIENTS, steps=5, eps=1e-7)[0].float()
        torch.testing.assert_close(found[number], alone, rtol=0, atol=0.02)
