"""Muon for the matrices and kernels inside a network, AdamW for the rest: far fewer steps than with AdamW alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from coseg_bundle.precision import Precision, resolve

_OUTPUT = "hypernetworks"
"""Part of a parameter's name that tells an output layer: its rows are single answers, not directions of one space."""

_COLOURS = 3
"""Channels of an image: a convolution that sees as many is an input layer, and AdamW's like the output layers."""


class StackedMuon(torch.optim.Muon):
    """PyTorch's Muon, with matrices of one shape orthogonalised together, for the kernels of convolutions too.

    A small network has hundreds of small matrices, and one after the other they keep a GPU waiting for launches:
    together with AdamW 143 of the 328 ms of a step of `mini` on an H200 (docs/decisions/gpu.md). A kernel of shape
    `(A, B, h, w)` is the matrix `(A, B h w)` (Jordan et al. 2024).

    Args:
        params: Matrices and kernels.
        lr: Learning rate; steps have AdamW's size.
        dtype: What matrices are orthogonalised in; PyTorch's Muon takes bfloat16, also where it is emulated.
        options: Others of `torch.optim.Muon`.
    """

    def __init__(self, params: Iterable[Any], lr: float, dtype: torch.dtype = torch.bfloat16, **options: Any) -> None:
        super().__init__([nn.Parameter(torch.empty(0, 0))], lr=lr, adjust_lr_fn="match_rms_adamw", **options)
        torch.optim.Optimizer.__init__(self, params, self.defaults)  # Muon's own refuses kernels
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            lists: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])  # weights, gradients, momentum
            self._init_group(group, *lists)
            by_shape = defaultdict(list)
            for of_one in zip(*lists, strict=True):
                by_shape[of_one[0].flatten(1).shape].append(of_one)
            for alike in by_shape.values():
                weights, gradients, momentum = map(list, zip(*alike, strict=True))
                self._step_alike(weights, gradients, momentum, group)
        return loss

    def _step_alike(
        self, weights: list[Tensor], gradients: list[Tensor], momentum: list[Tensor], group: dict[str, Any]
    ) -> None:
        """One step for what has one shape as a matrix."""
        torch._foreach_lerp_(momentum, gradients, 1 - group["momentum"])
        updates = torch._foreach_lerp(gradients, momentum, group["momentum"]) if group["nesterov"] else momentum
        stack = torch.stack([update.flatten(1) for update in updates])
        settings = group["ns_coefficients"], group["ns_steps"], group["eps"]
        steps = orthogonalised(stack.to(self.dtype), *settings).to(weights[0].dtype)
        length = 0.2 * max(stack.shape[1:]) ** 0.5  # AdamW's size
        torch._foreach_mul_(weights, 1 - group["lr"] * group["weight_decay"])
        moves = [step.view(weight.shape) for step, weight in zip(steps, weights, strict=True)]
        torch._foreach_add_(weights, moves, alpha=-group["lr"] * length)


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Matrices `(N, A, B)` with all singular values brought near 1 by Newton and Schulz' iteration, in their dtype."""
    a, b, c = coefficients
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)
    if x.dtype.itemsize >= 4 and x.shape[-1] >= 2 * x.shape[-2]:  # half precision has too few digits for it
        x = _factor(x @ x.mT, coefficients, steps) @ x
    else:
        for _ in range(steps):
            gram = x @ x.mT
            x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def _factor(gram: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """What the iteration multiplies matrices with, from their Gram matrices `(N, A, A)` alone.

    Every step multiplies from the left with a polynomial of the Gram matrix. These commute, so the wide matrix is only
    needed in the first and in the last product: 50 instead of 90 A^3 multiplications where it is four times as wide.
    """
    a, b, c = coefficients
    factor = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device).expand_as(gram)
    for step in range(steps):
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(a)
        factor = polynomial @ factor if step else polynomial
        if step < steps - 1:
            gram = polynomial @ (gram @ polynomial)
    return factor


class MuonAdamW(torch.optim.Optimizer):
    """Two of PyTorch's optimisers as one, so that one schedule and one checkpoint serve both.

    Muon (Jordan et al. 2024) orthogonalises the update of a matrix, so that all of its directions learn alike. It is
    for the weights of hidden linear layers and convolutions; embeddings, norms, biases, the layers that see the image
    and the output layers (here the hypernetworks) take AdamW. Muon's steps are scaled to AdamW's size (Liu et al. 2025,
    "Muon is scalable for LLM training"), hence one learning rate.

    Args:
        network: Its parameters that require a gradient are optimised.
        lr: Learning rate of both.
        weight_decay: Decoupled weight decay of both.
        max_grad_norm: A longer gradient is shortened to this norm before either sees it; None leaves all as they are.
            Muon's steps are equally long whatever the gradient's norm, so one outlier turns its momentum, and with that
            the direction of the next twenty steps.
        precision: Of the orthogonalisation; `auto` is what the parameters' device computes natively.
        part_rates: Share of the learning rate that a part learns with, by the beginning of its parameters' names; the
            longest that fits counts. Parts that are not named learn with all of it.

    Raises:
        ValueError: No parameter requires a gradient, the norm is not above 0, a share is not above 0 or names no part,
            or the precision cannot be had.
    """

    def __init__(
        self,
        network: nn.Module,
        lr: float,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
        precision: str | Precision = "auto",
        part_rates: Mapping[str, float] | None = None,
    ) -> None:
        hidden = {
            id(layer.weight)
            for name, layer in network.named_modules()
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
            and _OUTPUT not in name
            and getattr(layer, "in_channels", 0) != _COLOURS
        }
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not trained:
            raise ValueError("No parameter of the network requires a gradient: there is nothing to train.")
        matrices = [parameter for parameter in trained if id(parameter) in hidden]
        others = [parameter for parameter in trained if id(parameter) not in hidden]
        if max_grad_norm is not None and not max_grad_norm > 0:
            raise ValueError(
                f"Expected a max_grad_norm above 0, or null to leave gradients alone; got {max_grad_norm}."
            )
        settings = {
            "lr": lr,
            "weight_decay": weight_decay,
            "max_grad_norm": max_grad_norm,
            "part_rates": part_rates or {},
        }
        super().__init__(trained, settings)
        self.trained, self.max_grad_norm = trained, max_grad_norm
        self.parts: dict[str, torch.optim.Optimizer] = {}
        shares = _shares(network, part_rates or {})
        if matrices:
            dtype = resolve(precision, matrices[0].device, training=True).dtype
            groups = _groups(matrices, shares, lr)
            self.parts["muon"] = StackedMuon(groups, lr=lr, dtype=dtype, weight_decay=weight_decay)
        if others:
            self.parts["adamw"] = torch.optim.AdamW(_groups(others, shares, lr), lr=lr, weight_decay=weight_decay)
        self._share_groups()

    def _share_groups(self) -> None:
        """Shows both optimisers' own groups, so that a schedule that writes a learning rate here writes it there."""
        self.param_groups = [group for part in self.parts.values() for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes one step with each.

        Args:
            closure: Computes the loss anew; called once before the step.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.trained, self.max_grad_norm)
        for part in self.parts.values():
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of both, by name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores both.

        Raises:
            ValueError: The state is another optimiser's.
        """
        if set(state_dict) != set(self.parts):
            raise ValueError(
                f"Expected the optimiser states {sorted(self.parts)}, got {sorted(map(str, state_dict))}; the "
                "checkpoint was written with another optimizer."
            )
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])
        self._share_groups()


def _shares(network: nn.Module, part_rates: Mapping[str, float]) -> dict[int, float]:
    """Share of the learning rate of each parameter, by its `id`."""
    for part, share in part_rates.items():
        if not share > 0:
            raise ValueError(
                f"Expected shares above 0 in part_rates, got {part}: {share}; trained_parts leaves parts out."
            )
    shares, used = {}, set()
    for name, parameter in network.named_parameters():
        fitting = [part for part in part_rates if f"{name}.".startswith(f"{part}.")]
        used |= {*fitting}
        shares[id(parameter)] = part_rates[max(fitting, key=len)] if fitting else 1.0
    if unknown := sorted(part_rates.keys() - used):
        parts = ", ".join(name for name, _ in network.named_children())
        raise ValueError(
            f"The network has no part {', '.join(unknown)} for part_rates; expected names such as {parts}."
        )
    return shares


def _groups(parameters: list[nn.Parameter], shares: Mapping[int, float], lr: float) -> list[dict[str, Any]]:
    """Parameters that learn alike, together; in the order of the first of each."""
    by_share: dict[float, list[nn.Parameter]] = defaultdict(list)
    for parameter in parameters:
        by_share[shares[id(parameter)]].append(parameter)
    return [{"params": alike, "lr": lr * share} for share, alike in by_share.items()]
