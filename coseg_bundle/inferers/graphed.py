"""CUDA graphs around any inferer: a small network's kernels are shorter than their launches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class GraphedInferer:
    """Records what another inferer launches on a GPU, once, and replays it with a single call.

    Forwards and backwards of `mini` took 30 ms on an H200 instead of 167, 16 crops of 256 px (docs/decisions/gpu.md).
    There is a graph for each network, shape and set of options. On a CPU, with arguments that are no plain options
    (what somebody said of the image) and with options but no gradient it runs as without.

    The gradients of a recorded step lie in the same memory every time: forget them between steps
    (`optim_set_to_none`), or they are counted twice.

    Args:
        inferer: What infers; it must launch the same work for every input of a shape.
        enabled: False leaves everything to `inferer`.
    """

    def __init__(self, inferer: Callable[..., Any], enabled: bool = True) -> None:
        self.inferer, self.enabled = inferer, enabled
        self.recorded: dict[Any, Callable[[Tensor], Any]] = {}

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Infers `inputs` `(B, 3, H, W)` with the network."""
        learns = torch.is_grad_enabled()
        plain = not args and all(learns and isinstance(value, bool) for value in kwargs.values())
        if not (self.enabled and inputs.is_cuda and plain and isinstance(network, nn.Module)):
            return self.inferer(inputs, network, *args, **kwargs)
        key = network, tuple(inputs.shape), learns, network.training, *sorted(kwargs.items())
        if key not in self.recorded:
            call = _Call(self.inferer, network, kwargs)
            self.recorded[key] = _with_backward(call, inputs) if learns else _forward_only(call, inputs)
        return self.recorded[key](inputs)


class _Call(nn.Module):
    """One way to call a network, as a module: what PyTorch records."""

    def __init__(self, inferer: Callable[..., Any], network: nn.Module, options: dict[str, bool]) -> None:
        super().__init__()
        self.inferer, self.network, self.options = inferer, network, options
        self.training = network.training

    def forward(self, inputs: Tensor) -> Any:
        answer = self.inferer(inputs, self.network, **self.options)
        self.without_prior = isinstance(answer, tuple) and answer[-1] is None
        return answer[0] if self.without_prior else answer  # only tensors can be recorded


def _with_backward(call: _Call, inputs: Tensor) -> Callable[[Tensor], Any]:
    recorded: Callable[[Tensor], Any] = torch.cuda.make_graphed_callables(
        call, (inputs.detach().clone(),), allow_unused_input=True
    )
    return (lambda image: (recorded(image), None)) if call.without_prior else recorded


def _forward_only(call: _Call, inputs: Tensor) -> Callable[[Tensor], Tensor]:
    static = inputs.detach().clone()
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # libraries set themselves up in the first calls, which must not be recorded
        for _ in range(3):
            call(static)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        answer = call(static)

    def replay(inputs: Tensor) -> Tensor:
        static.copy_(inputs)
        graph.replay()
        return answer.clone()

    return replay
