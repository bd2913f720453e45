import math

import pytest
import torch

from coseg_bundle.losses import CoSegLoss
from coseg_bundle.networks import HeadLayout

LAYOUT = HeadLayout(2, 2)


def targets(batch: int = 1, size: int = 8, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    nuclei = torch.randint(0, 2, (batch, 1, size, size), generator=generator, dtype=torch.int32)
    return {
        "tissue": torch.randint(0, 2, (batch, 1, size, size), generator=generator, dtype=torch.int32),
        "nuclei": nuclei,
        "hv_map": torch.rand(batch, 2, size, size, generator=generator) * 2 - 1,
        "types": nuclei * torch.randint(1, 3, (batch, 1, size, size), generator=generator, dtype=torch.int32),
    }


def outputs(batch: int = 1, size: int = 8, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(batch, LAYOUT.channels, size, size, generator=generator),
        torch.randn(batch, 3, size, size, generator=generator),
    )


def test_terms_by_hand_for_undecided_logits():
    pred, prior = torch.zeros(1, LAYOUT.channels, 4, 4), torch.zeros(1, 3, 4, 4)
    half = torch.tensor([0, 1] * 8, dtype=torch.int32).view(1, 1, 4, 4)
    zero_hv = torch.zeros(1, 2, 4, 4)
    terms = CoSegLoss(LAYOUT).terms((pred, prior), {"tissue": half, "nuclei": half, "hv_map": zero_hv, "types": half})
    # probabilities 1/2: cross-entropy log 2; Dice 1 - 2 * 1 / (2 + 2) = 1/2 (MONAI smooths both sides by 1e-5)
    tissue = math.log(2) + 0.5
    nuclei = 0.25 * math.log(2) + 0.5  # focal: (1 - 1/2)^2 log 2
    assert terms["tissue"].item() == pytest.approx(tissue, abs=1e-4)
    assert terms["nuclei"].item() == pytest.approx(nuclei, abs=1e-4)
    assert terms["prior_tissue"].item() == pytest.approx(2 * tissue, abs=1e-4)  # lambda_1
    assert terms["prior_nuclei"].item() == pytest.approx(1 * nuclei, abs=1e-4)  # lambda_2
    assert terms["hv_mse"].item() == terms["hv_msge"].item() == 0


def test_perfect_prediction_is_free():
    truth = targets()
    sure = 60.0
    one_hot = torch.nn.functional.one_hot
    pred = torch.cat(
        [
            (one_hot(truth["tissue"][:, 0].long(), 2).permute(0, 3, 1, 2) * 2 - 1) * sure,
            (truth["nuclei"] * 2 - 1) * sure,
            truth["hv_map"],
            (one_hot(truth["types"][:, 0].long(), 3).permute(0, 3, 1, 2) * 2 - 1) * sure,
            torch.zeros(1, 2, 8, 8),
        ],
        dim=1,
    )
    assert CoSegLoss(LAYOUT)((pred, pred[:, :3]), truth).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("lacking", ["tissue", "nuclei", "types"])
def test_a_missing_label_gives_no_gradient_and_changes_no_other_term(lacking):
    truth = targets()
    pred, prior = outputs()
    pred.requires_grad_()
    complete = CoSegLoss(LAYOUT).terms((pred, prior), truth)
    truth[lacking] = torch.full_like(truth[lacking], 255)
    terms = CoSegLoss(LAYOUT).terms((pred, prior), truth)
    gone = {"tissue": {"tissue", "prior_tissue"}, "nuclei": {"nuclei", "hv_mse", "hv_msge", "prior_nuclei"}}
    assert complete.keys() - terms.keys() == gone.get(lacking, {"types"})
    assert all(torch.equal(terms[name], complete[name]) for name in terms)
    CoSegLoss(LAYOUT)((pred, prior), truth).backward()
    group = {"tissue": "tissue_logits", "nuclei": "nuclei_logits", "types": "type_logits"}[lacking]
    assert LAYOUT.split(pred.grad)[group].abs().sum() == 0


def test_unlabelled_samples_do_not_dilute():
    """A batch of one labelled and one unlabelled sample has the loss of the labelled one alone."""
    truth, (pred, prior) = targets(batch=2), outputs(batch=2)
    truth["tissue"][1], truth["nuclei"][1], truth["types"][1] = 255, 255, 255
    alone = {name: value[:1] for name, value in truth.items()}
    loss = CoSegLoss(LAYOUT)
    assert loss((pred, prior), truth).item() == pytest.approx(loss((pred[:1], prior[:1]), alone).item(), rel=1e-5)


def test_unlabelled_pixels_do_not_count():
    truth, (pred, prior) = targets(), outputs()
    for name in ("tissue", "nuclei", "types"):
        truth[name][..., 4:] = 255
    changed = pred.clone()
    # the hv gradient reaches two pixels far: columns from 6 on cannot be seen from the labelled half
    changed[..., 6:] += torch.randn_like(changed[..., 6:])
    loss = CoSegLoss(LAYOUT)
    assert loss((pred, prior), truth).item() == pytest.approx(loss((changed, prior), truth).item(), rel=1e-6)


def test_nothing_labelled_is_zero_with_gradient():
    truth = {name: torch.full_like(value, 255) for name, value in targets().items() if name != "hv_map"}
    pred, prior = outputs()
    pred.requires_grad_()
    loss = CoSegLoss(LAYOUT)((pred, prior), {**truth, "hv_map": torch.zeros(1, 2, 8, 8)})
    loss.backward()
    assert loss.item() == 0
    assert pred.grad.abs().sum() == 0
