"""A step of training: network and loss, optimiser and moving average, with and without what spares launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import torch
from ignite.handlers import EMAHandler
from monai.inferers import SimpleInferer
from torch import Tensor

from coseg_bundle import keys
from coseg_bundle.benchmarks.timing import row, seconds
from coseg_bundle.handlers import MovingAverage
from coseg_bundle.inferers import AutocastInferer, GraphedInferer
from coseg_bundle.losses import CoSegLoss
from coseg_bundle.networks import CoSeg, HeadLayout, HieraImageEncoder, MPDecoder, RPEncoder
from coseg_bundle.optimizers.muon_adamw import MuonAdamW, StackedMuon
from coseg_bundle.precision import resolve


def lines(batch_size: int = 4, side: int = 256, rounds: int = 7) -> Iterator[str]:
    """The section: `mini` on the device that PyTorch finds."""
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = HeadLayout(2)
    encoder = HieraImageEncoder("mini", detail_depth=3)
    sizes = {"embed_dim": encoder.embed_dim, "mlp_dim": 512}
    decoder = MPDecoder(layout, high_res_dims=encoder.high_res_dims, pixel_dims=(64, 48), subpixel=2, **sizes)
    network = CoSeg(encoder, decoder, RPEncoder(2, **sizes)).to(device).train()
    image = torch.rand(batch_size, 3, side, side, device=device)
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    precision = resolve("auto", device, training=True)
    yield f"\nA step of training, mini, {batch_size} crops of {side} x {side}, {where}, {precision}"

    plain = AutocastInferer(SimpleInferer(), precision)
    loss, targets = CoSegLoss(layout).to(device), _targets(batch_size, side, device)
    ways = {"as it is": _step(plain, network, image, loss, targets)}
    if device.type == "cuda":
        ways["CUDA graphs"] = _step(GraphedInferer(plain), network, image, loss, targets)
    yield from _compared("network and loss, forwards and backwards", ways, rounds)

    hidden = MuonAdamW(network, lr=1e-6).parts["muon"].param_groups[0]["params"]
    matrices = [weight for weight in hidden if weight.ndim == 2]  # PyTorch's Muon refuses kernels
    one_by_one = torch.optim.Muon(matrices, lr=1e-6, adjust_lr_fn="match_rms_adamw")
    stacked = StackedMuon(matrices, lr=1e-6, dtype=precision.dtype)
    ways = {"torch.optim.Muon": _waited(one_by_one.step), "stacked": _waited(stacked.step)}
    yield from _compared(f"Muon, {len(matrices)} matrices", ways, rounds)

    engine = SimpleNamespace(state=SimpleNamespace(momentum=0.01))
    averages = {"ignite's": EMAHandler(network), "one launch": MovingAverage(network)}
    ways = {name: _waited(partial(ema._update_ema_model, engine, "momentum")) for name, ema in averages.items()}
    yield from _compared("moving average of the weights", ways, rounds)


def _targets(batch_size: int, side: int, device: torch.device) -> dict[str, Tensor]:
    shape = (batch_size, 1, side, side)
    ids = {key: torch.randint(0, 2, shape, device=device) for key in (keys.TISSUE, keys.NUCLEI)}
    return ids | {keys.HV_MAP: torch.rand(batch_size, 2, side, side, device=device) * 2 - 1}


def _step(
    inferer: AutocastInferer | GraphedInferer,
    network: CoSeg,
    image: Tensor,
    loss: CoSegLoss,
    targets: dict[str, Tensor],
) -> Callable[[], None]:
    def step() -> None:
        network.zero_grad(set_to_none=True)
        loss(inferer(image, network, return_prior=True), targets).backward()

    return _waited(step)


def _waited(action: Callable[[], object]) -> Callable[[], None]:
    """The action, and the wait until the device has done it."""

    def waited() -> None:
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return waited


def _compared(what: str, ways: dict[str, Callable[[], None]], rounds: int) -> Iterator[str]:
    for action in ways.values():
        action()
    times = seconds(*ways.values(), rounds=rounds)
    for name, taken in zip(ways, times, strict=True):
        yield row(f"{what}: {name}", f"{1000 * taken:.1f} ms", f"{taken / times[0]:.2f}")
