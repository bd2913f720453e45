"""oneDNN's fused layers beside PyTorch's own."""

import pytest
import torch
from torch import nn

from coseg_bundle.networks.blocks import fused
from coseg_bundle.networks.blocks.layers import MLP


def recorded(monkeypatch) -> list[bool]:
    """Grows by one whenever a layer is called itself."""
    calls = []
    plain = fused._plain
    monkeypatch.setattr(fused, "_plain", lambda layer, x, gelu: calls.append(True) or plain(layer, x, gelu))
    return calls


def test_a_linear_layer_by_hand():
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, -1.0]]))
        layer.bias.fill_(0.5)
        assert fused.linear(layer, torch.tensor([[1.0, 3.0]])).tolist() == [[-0.5]]
        gelu = fused.linear(layer, torch.tensor([[1.0, 1.5]]), gelu=True)
    assert gelu.item() == pytest.approx(0.8413447)  # of 1: 1 times the normal distribution below 1


@pytest.mark.parametrize("gelu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda bias: nn.Linear(8, 24, bias=bias), (2, 5, 7, 8)),
        (lambda bias: nn.Linear(8, 24, bias=bias), (3, 8)),
        (lambda bias: nn.Conv2d(8, 16, 3, padding=1, bias=bias), (2, 8, 9, 7)),
        (lambda bias: nn.Conv2d(8, 16, 1, bias=bias), (1, 8, 6, 5)),
        (lambda bias: nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=bias), (1, 8, 9, 8)),
    ],
)
def test_the_layers_themselves_say_the_same(layer, shape, bias, gelu):
    torch.manual_seed(0)
    made = layer(bias)
    x = torch.randn(*shape)
    if len(shape) == 4 and isinstance(made, nn.Conv2d):
        x = x.contiguous(memory_format=torch.channels_last)
    call = fused.convolution if isinstance(made, nn.Conv2d) else fused.linear
    expected = call(made, x, gelu).detach()  # a gradient is wanted: the layer itself
    with torch.no_grad():
        found = call(made, x, gelu)
    assert found.shape == expected.shape
    assert found.stride() == expected.stride()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_bf16_is_rounded_as_pytorch_does():
    torch.manual_seed(0)
    layer, x = nn.Linear(8, 24), torch.randn(5, 8)
    with torch.autocast("cpu", torch.bfloat16):
        expected = fused.linear(layer, x, gelu=True).detach()
        with torch.no_grad():
            found = fused.linear(layer, x, gelu=True)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, atol=2e-2, rtol=2e-2)


def test_what_learns_or_is_traced_calls_the_layer(monkeypatch):
    calls = recorded(monkeypatch)
    layer, x = nn.Linear(4, 4), torch.rand(2, 4)
    fused.linear(layer, x).sum().backward()
    assert layer.weight.grad is not None
    with torch.no_grad():
        torch.jit.trace(MLP(4, 4).eval(), (x,), check_trace=False)
        assert len(calls) == 2
        fused.linear(layer, x)
    assert len(calls) == 2


def test_layers_of_others_are_called_themselves():
    """LoRA's layers are linear ones with something beside them."""

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    layer, x = Doubled(3, 3), torch.rand(2, 3)
    with torch.no_grad():
        assert torch.equal(fused.linear(layer, x), layer(x))


def test_pytorch_without_onednn(monkeypatch):
    monkeypatch.setattr(fused, "_IS_THERE", False)
    layer, x = nn.Linear(3, 3), torch.rand(2, 3)
    with torch.no_grad():
        assert torch.equal(fused.linear(layer, x, gelu=True), nn.functional.gelu(layer(x)))


def test_no_pixels_at_all():
    with torch.no_grad():
        assert fused.linear(nn.Linear(3, 2), torch.rand(0, 3)).shape == (0, 2)


def test_a_network_says_the_same_with_and_without(make_network):
    network = make_network(encoder={"detail_depth": 1}, subpixel=2).eval()
    for parameter in network.parameters():
        if parameter.ndim == 4:
            nn.init.normal_(parameter, std=0.05)  # what starts at zero says something too
    image = torch.rand(2, 3, 96, 64)
    expected = network(image).detach()
    with torch.no_grad():
        found = network(image)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
