"""Attention, by whatever computes it fastest."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from coseg_bundle.networks.blocks.fused import computes_bf16, only_answers

SCORES = 2**24
"""Scores that are held at a time."""


def attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attends from queries `(B, heads, N, d)` to keys and values `(B, heads, M, d)`.

    PyTorch's own attention multiplies matrices at the rate of full precision on a CPU, in bf16 too. Where nothing is
    learnt and the processor has units for bf16, plain products take a third of the time; scores are rounded then, which
    moves the answer no more than bf16 does elsewhere.
    """
    if queries.dtype != torch.bfloat16 or not only_answers(queries) or not computes_bf16():
        return F.scaled_dot_product_attention(queries, keys, values)
    rows = max(1, SCORES // (queries.shape[0] * queries.shape[1] * keys.shape[2]))
    scaled, turned = queries * queries.shape[-1] ** -0.5, keys.transpose(2, 3)
    return torch.cat([(part @ turned).softmax(-1) @ values for part in scaled.split(rows, 2)], 2)
