import pytest
import torch
from monai.inferers import SimpleInferer

from coseg_bundle.inferers import AutocastInferer


@pytest.mark.parametrize(("enabled", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_precision(enabled, dtype):
    inferer = AutocastInferer(SimpleInferer(), enabled=enabled)
    assert inferer(torch.rand(1, 3), torch.nn.Linear(3, 2)).dtype == dtype


def test_attention_is_the_same_in_training_and_inference():
    inferer = AutocastInferer(SimpleInferer(), enabled=False)
    qkv = torch.rand(2, 4, 16, 8)

    def attend(x):
        return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    with torch.no_grad():
        expected = inferer(qkv, attend)
    torch.testing.assert_close(inferer(qkv, attend), expected)


def test_unknown_precision():
    with pytest.raises(ValueError, match="bfloat16 or float16, got 'int8'"):
        AutocastInferer(SimpleInferer(), dtype="int8")
