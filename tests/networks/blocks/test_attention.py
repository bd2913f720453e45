"""Plain products beside PyTorch's attention."""

import pytest
import torch
import torch.nn.functional as F

from coseg_bundle.networks.blocks import attention as module
from coseg_bundle.networks.blocks.attention import attention


def made(queries: int, keys: int, dtype: torch.dtype = torch.bfloat16) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, n, 8, generator=generator).to(dtype) for n in (queries, keys, keys)]


def test_by_hand(monkeypatch):
    """The first query looks at both keys alike, the second almost only at the second."""
    monkeypatch.setattr(module, "computes_bf16", lambda: True)
    queries, keys = torch.tensor([[[[0.0], [50.0]]]]), torch.tensor([[[[0.0], [1.0]]]])
    values = torch.tensor([[[[2.0], [4.0]]]])
    with torch.no_grad():
        assert attention(*(x.bfloat16() for x in (queries, keys, values))).flatten().tolist() == [3, 4]


@pytest.mark.parametrize("scores", [1, 100, 2**24])
@pytest.mark.parametrize(("queries", "keys"), [(1, 5), (7, 3), (40, 40)])
def test_as_pytorch_but_for_rounding(monkeypatch, queries, keys, scores):
    monkeypatch.setattr(module, "computes_bf16", lambda: True)
    monkeypatch.setattr(module, "SCORES", scores)  # a few rows at a time
    q, k, v = made(queries, keys)
    with torch.no_grad():
        found = attention(q, k, v)
    expected = F.scaled_dot_product_attention(q.float(), k.float(), v.float())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, atol=3e-2, rtol=3e-2)


@pytest.mark.parametrize(
    ("dtype", "native", "learns"),
    [(torch.float32, True, False), (torch.bfloat16, False, False), (torch.bfloat16, True, True)],
)
def test_elsewhere_it_is_pytorchs(monkeypatch, dtype, native, learns):
    monkeypatch.setattr(module, "computes_bf16", lambda: native)
    q, k, v = made(6, 6, dtype)
    with torch.set_grad_enabled(learns):
        assert torch.equal(attention(q, k, v), F.scaled_dot_product_attention(q, k, v))
