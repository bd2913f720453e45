"""The loss of several processes is the loss of one process with the whole batch."""

import pytest
import torch
from torch import multiprocessing

from coseg_bundle.classes import UNLABELLED
from coseg_bundle.losses import CoSegLoss
from coseg_bundle.networks import HeadLayout

LAYOUT = HeadLayout(2, 2)


def batch() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """Four samples with labels dealt out as unevenly as can be: the last two have no tissue, and few nuclei pixels."""
    generator = torch.Generator().manual_seed(0)
    nuclei = torch.randint(0, 2, (4, 1, 8, 8), generator=generator, dtype=torch.int32)
    tissue = torch.randint(0, 2, (4, 1, 8, 8), generator=generator, dtype=torch.int32)
    types = nuclei * torch.randint(1, 3, (4, 1, 8, 8), generator=generator, dtype=torch.int32)
    tissue[2:] = UNLABELLED
    tissue[0, :, :3] = UNLABELLED
    nuclei[0] = UNLABELLED
    nuclei[3, :, 2:] = UNLABELLED
    types[:2] = UNLABELLED
    hv_map = torch.rand(4, 2, 8, 8, generator=generator) * 2 - 1
    targets = {"tissue": tissue, "nuclei": nuclei, "hv_map": hv_map, "types": types}
    pred = torch.randn(4, LAYOUT.channels, 8, 8, generator=generator)
    return pred, torch.randn(4, 3, 8, 8, generator=generator), targets


def loss_and_gradient(part: slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
    pred, prior, targets = batch()
    pred, prior = pred[part].requires_grad_(), prior[part].requires_grad_()
    loss = CoSegLoss(LAYOUT)((pred, prior), {name: target[part] for name, target in targets.items()})
    loss.backward()
    return loss.detach(), torch.cat([pred.grad, prior.grad], dim=1)


def in_process(rank: int, folder: str, cuts: list[int]) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(loss_and_gradient(slice(cuts[rank], cuts[rank + 1])), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("half", [2, 1])
def test_two_processes(tmp_path, half):
    """Also where one process has no tissue label at all, and where it has a single sample."""
    multiprocessing.start_processes(in_process, (str(tmp_path), [0, half, 4]), nprocs=2, start_method="fork")
    loss, gradient = loss_and_gradient()
    parts = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert [float(value) for value, _ in parts] == pytest.approx([float(loss)] * 2, rel=1e-6)
    averaged = torch.cat([part for _, part in parts]) / 2  # as DistributedDataParallel averages over two processes
    torch.testing.assert_close(averaged, gradient)
    alone = loss_and_gradient(slice(0, half))[0]
    assert abs(float(alone) - float(loss)) > 0.01  # a mean of each process's own means would be another number
