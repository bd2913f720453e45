from copy import deepcopy

import pytest
import torch
from monai.inferers import SimpleInferer

from coseg_bundle.inferers import AutocastInferer, GraphedInferer

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need an NVIDIA GPU")


class Recorder(SimpleInferer):
    """Remembers what it was called with."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __call__(self, inputs, network, *args, **kwargs):
        self.calls.append((args, kwargs))
        return super().__call__(inputs, network)


def images(count, size=64, device="cuda"):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 2, 3, size, size, generator=generator).to(device)


def full_precision(monkeypatch):
    """Recorded and plain kernels need not be the same; in TF32 they would differ visibly."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)


def distance(found, expected):
    return float((found - expected).norm() / expected.norm())


def gradient(network):
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])


@pytest.mark.parametrize("enabled", [True, False])
def test_on_a_cpu_it_is_the_inferer_itself(enabled):
    recorder, network = Recorder(), torch.nn.Linear(3, 2)
    inferer = GraphedInferer(recorder, enabled)
    image = torch.rand(4, 3)
    assert torch.equal(inferer(image, network, return_prior=True), network(image))
    with torch.no_grad():
        assert torch.equal(inferer(image, network, 1, said=image), network(image))
    assert recorder.calls[0] == ((), {"return_prior": True})
    assert recorder.calls[1][0] == (1,)
    assert recorder.calls[1][1]["said"] is image
    assert not inferer.recorded


def test_on_a_cpu_gradients_flow(make_network):
    network = make_network()
    pred, prior = GraphedInferer(SimpleInferer())(images(1, device="cpu")[0], network, return_prior=True)
    (pred.sum() + prior.sum()).backward()
    assert gradient(network).any()


@needs_cuda
def test_disabled_records_nothing():
    recorder, network = Recorder(), torch.nn.Linear(3, 2).cuda()
    inferer = GraphedInferer(recorder, enabled=False)
    image = torch.rand(4, 3, device="cuda")
    for _ in range(2):
        inferer(image, network, return_prior=True)
    assert len(recorder.calls) == 2
    assert not inferer.recorded


@needs_cuda
def test_two_steps_equal_the_plain_ones(make_network, monkeypatch):
    """Answers, gradients and weights; a gradient that is not forgotten would be counted twice in the second step."""
    full_precision(monkeypatch)
    plain = make_network().cuda().train()
    graphed = deepcopy(plain)
    inferer = GraphedInferer(SimpleInferer())
    for image in images(2):
        seen = []
        for network, ask in ((plain, SimpleInferer()), (graphed, inferer)):
            optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
            optimizer.zero_grad(set_to_none=True)
            pred, prior = ask(image, network, return_prior=True)
            (pred.square().mean() + prior.square().mean()).backward()
            seen.append((pred.detach().clone(), prior.detach().clone(), gradient(network).clone()))
            optimizer.step()
        for expected, found in zip(*seen, strict=True):
            assert found.shape == expected.shape
            assert distance(found, expected) < 1e-2
    assert len(inferer.recorded) == 1
    for expected, found in zip(plain.parameters(), graphed.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-4)


@needs_cuda
def test_autocast_is_recorded(make_network):
    plain = make_network().cuda().train()
    graphed = deepcopy(plain)
    autocast = AutocastInferer(SimpleInferer())
    inferer = GraphedInferer(autocast)
    for image in images(2):
        seen = []
        for network, ask in ((plain, autocast), (graphed, inferer)):
            network.zero_grad(set_to_none=True)
            pred, prior = ask(image, network, return_prior=True)
            (pred.float().square().mean() + prior.float().square().mean()).backward()
            seen.append((pred.detach().clone(), gradient(network).clone()))
            with torch.no_grad():
                for parameter in network.parameters():
                    parameter.mul_(0.9)  # a cast that is kept from the recording would miss it
        for expected, found in zip(*seen, strict=True):
            assert found.dtype == expected.dtype
            assert distance(found, expected) < 0.05


@needs_cuda
def test_a_network_without_prompts(make_network):
    network = make_network(prompting="none").cuda().train()
    inferer = GraphedInferer(SimpleInferer())
    pred, prior = inferer(images(1)[0], network, return_prior=True)
    pred.square().mean().backward()
    assert prior is None
    assert gradient(network).any()


@needs_cuda
def test_forward_only(make_network, monkeypatch):
    full_precision(monkeypatch)
    network = make_network().cuda().eval()
    recorder = Recorder()
    inferer = GraphedInferer(recorder)
    first, second = images(2)
    with torch.no_grad():
        answers = inferer(first, network), inferer(second, network)
        calls = len(recorder.calls)
        again = inferer(first, network)
        for found, image in zip((*answers, again), (first, second, first), strict=True):
            assert not found.requires_grad
            assert distance(found, network(image)) < 1e-3  # the second answer does not lie on the first
    assert len(recorder.calls) == calls  # what is recorded is not called again
    assert len(inferer.recorded) == 1


@needs_cuda
def test_a_graph_for_each_shape_mode_and_option(make_network):
    network = make_network().cuda().eval()
    inferer = GraphedInferer(SimpleInferer())
    image, small = images(1)[0], images(1, size=32)[0]
    with torch.no_grad():
        assert inferer(image, network).shape[-1] == 64
        assert inferer(small, network).shape[-1] == 32
    assert inferer(image, network).requires_grad
    pred, prior = inferer(image, network.train(), return_prior=True)
    assert (pred.shape[1], prior.shape[1]) == (7, 3)
    assert len(inferer.recorded) == 4


@needs_cuda
def test_what_somebody_said_runs_as_without(make_network):
    network = make_network().cuda().train()
    recorder = Recorder()
    inferer = GraphedInferer(recorder)
    image = images(1)[0]
    said = {"tissue": torch.ones(2, 1, 64, 64, device="cuda")}
    inferer(image, network, return_prior=True, said=said)
    inferer(image, network, True)
    inferer(image, lambda x: x)
    assert [len(args) + len(kwargs) for args, kwargs in recorder.calls] == [2, 1, 0]
    assert not inferer.recorded
