import pytest
import torch
from monai.inferers import SimpleInferer

from coseg_bundle import precision
from coseg_bundle.inferers import AutocastInferer
from coseg_bundle.precision import Precision


def seen(inferer):
    """Whether a network runs under autocast, and the dtype of its matrix products."""
    states = []

    def network(inputs):
        states.append((torch.is_autocast_enabled("cpu"), (inputs @ inputs).dtype))
        return inputs

    inferer(torch.rand(3, 3), network)
    return states[0]


@pytest.mark.parametrize(("name", "expected"), [("bf16", (True, torch.bfloat16)), ("fp32", (False, torch.float32))])
def test_precision(name, expected):
    assert seen(AutocastInferer(SimpleInferer(), name)) == expected
    assert seen(AutocastInferer(SimpleInferer(), Precision(name, "of the plan"))) == expected


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_auto_is_the_rule(monkeypatch, name):
    monkeypatch.setattr(precision, "_of_cpu", lambda: Precision(name, "of this test"))
    assert seen(AutocastInferer(SimpleInferer()))[0] == (name == "bf16")


def test_full_precision_inside_of_somebodys_autocast():
    with torch.autocast("cpu", torch.bfloat16):
        assert seen(AutocastInferer(SimpleInferer(), "fp32")) == (False, torch.float32)


def test_attention_is_the_same_in_training_and_inference():
    inferer = AutocastInferer(SimpleInferer(), "fp32")
    qkv = torch.rand(2, 4, 16, 8)

    def attend(x):
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    with torch.no_grad():
        expected = inferer(qkv, attend)
    torch.testing.assert_close(inferer(qkv, attend), expected)


def test_a_precision_that_the_device_has_not_got():
    with pytest.raises(ValueError, match="fp32 or bf16 for training on cpu, got fp16"):
        AutocastInferer(SimpleInferer(), "fp16")(torch.rand(1, 3), torch.nn.Linear(3, 2))
