import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from coseg_bundle.losses import CoSegLoss, HVGradientLoss
from coseg_bundle.losses.coseg_loss import _Count, thin
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


@pytest.mark.parametrize("gamma", [0, 1e-3, 0.5, 0.99, 1, 2])
def test_certain_pixels_have_finite_gradients(gamma):
    """The slope of a root is infinite at 0, where the network is sure of the true class."""
    labels = targets() | {"types": torch.zeros(1, 1, 8, 8, dtype=torch.int32)}
    pred, _ = outputs()
    pred[:, LAYOUT.slices["type_logits"]] = torch.tensor([100.0, 0.0, 0.0]).view(1, 3, 1, 1)
    pred[:, LAYOUT.slices["nuclei_logits"]] = 100.0
    pred[0, LAYOUT.slices["type_logits"], 0, 0] = 0.0  # one pixel is not sure: p = 1/3
    loss = CoSegLoss(LAYOUT, focal_gamma=gamma)
    types = loss.terms((pred.requires_grad_(), None), labels)["types"]
    alone = loss._dice(pred[:, LAYOUT.slices["type_logits"]].softmax(1), *one_hot_and_labelled(labels), _Count(64, 1))
    assert (types - alone).item() == pytest.approx((2 / 3) ** gamma * math.log(3) / 64, rel=1e-4)
    loss((pred, None), labels).backward()
    assert torch.isfinite(pred.grad).all()


def one_hot_and_labelled(labels):
    one_hot = torch.nn.functional.one_hot(labels["types"][:, 0].long(), 3).movedim(-1, 1).float()
    return one_hot, torch.ones_like(labels["types"], dtype=torch.bool)


def test_a_nuclei_class_may_weigh_more():
    pred, types = torch.zeros(1, LAYOUT.channels, 2, 2), torch.tensor([0, 1, 1, 2], dtype=torch.int32).view(1, 1, 2, 2)
    labels = targets(size=2) | {"types": types}

    def term(weights):
        return CoSegLoss(LAYOUT, focal_gamma=0.0, type_weights=weights).terms((pred, None), labels)["types"].item()

    alike = term(None)
    assert term([1, 1, 1]) == pytest.approx(alike)
    assert term([1, 1, 4]) - alike == pytest.approx(3 * math.log(3) / 4)  # one pixel of four, log 3 each
    with pytest.raises(ValueError, match="Expected a weight for the background and each of 2 nuclei classes, got"):
        CoSegLoss(LAYOUT, type_weights=[1, 1])


def test_the_strip_between_two_glands_is_thin_and_wide_tissue_is_not():
    strip = torch.tensor([[1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0]] * 6, dtype=torch.int32)[None, None]
    expected = torch.tensor([[0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0]] * 6, dtype=torch.bool)[None, None]
    assert torch.equal(thin(strip, 2, 3), expected)
    assert not thin(strip, 2, 2).any()  # as wide as the square
    assert thin(strip, 2, 4)[0, 0, 0].tolist() == [False] * 3 + [True] * 2 + [True] * 3 + [False] * 3  # and the gland
    assert torch.equal(thin(strip.mT, 2, 3), expected.mT)


def test_what_is_unlabelled_or_beyond_the_crop_may_be_of_any_class():
    strip = torch.tensor([[255, 1, 255, 0, 255, 1, 1, 1]] * 4, dtype=torch.int32)[None, None]
    assert not thin(strip, 2, 3).any()
    assert not thin(torch.full((1, 1, 4, 4), 255, dtype=torch.int32), 2, 3).any()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.sampled_from([0.0, 0.3]))
def test_thin_is_what_no_square_of_its_class_holds(seed, width, unlabelled):
    rng = np.random.default_rng(seed)
    tissue = np.kron(rng.integers(0, 3, (4, 4)), np.ones((2, 2), int))
    tissue[rng.random(tissue.shape) < unlabelled] = 255
    expected = np.zeros(tissue.shape, bool)
    around = np.pad(tissue, width, constant_values=255)
    for row, column in np.argwhere(tissue != 255):
        squares = [
            around[row + width - i : row + 2 * width - i, column + width - j : column + 2 * width - j]
            for i in range(width)
            for j in range(width)
        ]
        expected[row, column] = not any(np.isin(s, (tissue[row, column], 255)).all() for s in squares)
    found = thin(torch.from_numpy(tissue.astype(np.int32))[None, None], 3, width)
    assert np.array_equal(found[0, 0].numpy(), expected)


def test_thin_tissue_may_weigh_more():
    pred, prior = torch.zeros(1, LAYOUT.channels, 6, 9), torch.zeros(1, 3, 6, 9)
    labels = targets(size=9) | {
        "tissue": torch.tensor([[1, 1, 1, 1, 0, 1, 1, 1, 1]] * 6, dtype=torch.int32)[None, None]
    }
    labels = {name: value[..., :6, :] for name, value in labels.items()}

    def terms(**options):
        return CoSegLoss(LAYOUT, **options).terms((pred, prior), labels)

    alike, more = terms(), terms(thin_weight=4.0, thin_px=3)
    assert more["tissue"] - alike["tissue"] == pytest.approx(3 * math.log(2) / 9, abs=1e-5)  # one column of nine
    assert more["prior_tissue"] - alike["prior_tissue"] == pytest.approx(2 * 3 * math.log(2) / 9, abs=1e-5)
    assert terms(thin_weight=4.0, thin_px=1)["tissue"] == alike["tissue"]


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


@pytest.mark.parametrize("thin_weight", [1.0, 8.0])
def test_unlabelled_pixels_do_not_count(thin_weight):
    """Beside a nucleus they were taught that the hv map is 0: the filter of its gradient reaches two pixels far."""
    truth, maps = targets(), [value.requires_grad_() for value in outputs()]
    for name in ("tissue", "nuclei", "types"):
        truth[name][..., 4:] = 255
    loss = CoSegLoss(LAYOUT, thin_weight=thin_weight)
    changed = [value.detach() + torch.randn(8) * (torch.arange(8) >= 4) for value in maps]
    before = loss(maps, truth)
    assert loss(changed, truth).item() == pytest.approx(before.item(), rel=1e-6)
    for gradient in torch.autograd.grad(before, maps):
        assert gradient[..., 4:].abs().max() == 0
        assert gradient[..., :4].abs().max() > 0
    truth["hv_map"][..., 4:] = 1  # of an unlabelled pixel nobody knows it
    assert loss(maps, truth).item() == pytest.approx(before.item(), rel=1e-6)


def test_nothing_labelled_is_zero_with_gradient():
    truth = {name: torch.full_like(value, 255) for name, value in targets().items() if name != "hv_map"}
    pred, prior = outputs()
    pred.requires_grad_()
    loss = CoSegLoss(LAYOUT)((pred, prior), {**truth, "hv_map": torch.zeros(1, 2, 8, 8)})
    loss.backward()
    assert loss.item() == 0
    assert pred.grad.abs().sum() == 0


def constant(*channels: float, size: int = 8) -> torch.Tensor:
    """A map `(1, C, size, size)` that is the same everywhere."""
    return torch.tensor(channels).view(1, -1, 1, 1).repeat(1, 1, size, size)


def unlabelled(taught: torch.Tensor) -> dict[str, torch.Tensor]:
    """Targets that only teachers gave."""
    truth = targets(len(taught), taught.shape[-1])
    return {name: value if name == "hv_map" else torch.full_like(value, 255) for name, value in truth.items()} | {
        "taught": taught
    }


def test_taught_terms_by_hand():
    odds = math.log(3)  # a logit of log 3 is a probability of 3/4
    pred = constant(odds, 0, odds, 0.5, 0.5, 0, 0, 0, 0, 0)
    taught = constant(0, odds, -odds, 0.25, 0.5, 0, 9, 0)
    terms = CoSegLoss(LAYOUT).terms((pred, constant(0, 0, 0)), unlabelled(taught))
    # the teacher says 1/4 where the network says 3/4, and 3/4 where it says 1/4
    opposite = -(0.25 * math.log(0.75) + 0.75 * math.log(0.25))
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "taught_tissue": opposite,
            "taught_nuclei": opposite,
            "taught_hv_mse": 10 * 0.25**2 / 2,  # x is off, y is not
            "taught_hv_msge": 0,  # no slope is off, and the teacher sees no nucleus
            "taught_types": math.log(3),
            "taught_prior_tissue": 2 * math.log(2),  # lambda_1
            "taught_prior_nuclei": 1 * math.log(2),  # lambda_2
        }
    )


@pytest.mark.parametrize(
    ("task", "terms"),
    [
        ("tissue", {"taught_tissue", "taught_prior_tissue"}),
        ("nuclei", {"taught_nuclei", "taught_hv_mse", "taught_hv_msge", "taught_prior_nuclei"}),
        ("types", {"taught_types"}),
    ],
)
def test_what_teachers_do_not_know_counts_nowhere(task, terms):
    loss = CoSegLoss(LAYOUT, taught_tasks=[task])
    assert loss.terms((constant(*[0.0] * 10), constant(0, 0, 0)), unlabelled(constant(*[0.0] * 8))).keys() == terms


def test_taught_gradient_of_the_hv_map_counts_inside_the_teachers_nuclei():
    pred, taught = constant(*[0.0] * LAYOUT.channels), constant(*[0.0] * 8)
    pred[:, 3] = 0.1 * torch.arange(8.0)  # x rises by 0.1 a pixel; the filter answers 12 to a slope of 1
    taught[:, 2] = -5
    taught[:, 2, 2:6, 2:6] = 5  # away from the border
    term = CoSegLoss(LAYOUT).terms((pred, None), unlabelled(taught))["taught_hv_msge"]
    assert term.item() == pytest.approx(2.5 * 1.2**2 / 2, rel=1e-5)
    taught[:, 2] = 5
    term = CoSegLoss(LAYOUT).terms((pred, None), unlabelled(taught))["taught_hv_msge"]
    everywhere = HVGradientLoss()(pred[:, 3:5], taught[:, 3:5], torch.ones(1, 1, 8, 8, dtype=torch.bool))
    assert term.item() == pytest.approx(2.5 * everywhere.item(), rel=1e-5)


def test_who_says_what_the_teachers_say_has_nothing_to_learn():
    pred = outputs(batch=2)[0].requires_grad_()
    taught = pred.detach()[:, :8]
    prior = taught[:, :3].clone().requires_grad_()
    loss = CoSegLoss(LAYOUT)
    terms = loss.terms((pred, prior), unlabelled(taught))
    tissue = torch.distributions.Categorical(logits=taught[:, :2].movedim(1, -1)).entropy().mean().item()
    nuclei = torch.distributions.Bernoulli(logits=taught[:, 2]).entropy().mean().item()
    types = torch.distributions.Categorical(logits=taught[:, 5:8].movedim(1, -1)).entropy().mean().item()
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "taught_tissue": tissue,
            "taught_nuclei": nuclei,
            "taught_hv_mse": 0,
            "taught_hv_msge": 0,
            "taught_types": types,
            "taught_prior_tissue": 2 * tissue,
            "taught_prior_nuclei": nuclei,
        },
        rel=1e-5,
    )
    loss((pred, prior), unlabelled(taught)).backward()
    assert pred.grad.abs().max() < 1e-6
    assert prior.grad.abs().max() < 1e-6


def test_teachers_count_on_every_pixel():
    pred, prior = (value.requires_grad_() for value in outputs(batch=2))
    taught = outputs(batch=2, seed=2)[0][:, :8]
    CoSegLoss(LAYOUT)((pred, prior), unlabelled(taught)).backward()
    parts = LAYOUT.split(pred.grad)
    for name in ("tissue_logits", "nuclei_logits", "hv_map", "type_logits"):
        assert (parts[name] != 0).all(), name
    assert (prior.grad != 0).all()
    assert not parts["disagreement"].any()


def test_taught_terms_come_on_top_and_have_a_weight():
    truth, out = targets(batch=2), outputs(batch=2)
    taught = truth | {"taught": outputs(batch=2, seed=2)[0][:, :8]}
    plain, once = CoSegLoss(LAYOUT).terms(out, truth), CoSegLoss(LAYOUT).terms(out, taught)
    thrice = CoSegLoss(LAYOUT, taught_weight=3.0).terms(out, taught)
    assert not any(name.startswith("taught_") for name in plain)
    assert once.keys() - plain.keys() == {f"taught_{name}" for name in plain}
    for name, term in plain.items():
        assert torch.equal(once[name], term)
        assert torch.equal(thrice[name], term)
        assert thrice[f"taught_{name}"].item() == pytest.approx(3 * once[f"taught_{name}"].item(), rel=1e-6)
    assert CoSegLoss(LAYOUT, taught_weight=3.0)(out, truth).item() == CoSegLoss(LAYOUT)(out, truth).item()
    silent = CoSegLoss(LAYOUT, taught_weight=0.0)(out, taught)
    assert silent.item() == pytest.approx(CoSegLoss(LAYOUT)(out, truth).item(), rel=1e-6)


def test_lambdas_weigh_what_the_prior_is_taught():
    out, taught = outputs(), unlabelled(outputs(seed=2)[0][:, :8])
    usual, other = CoSegLoss(LAYOUT).terms(out, taught), CoSegLoss(LAYOUT, 0.5, 3.0).terms(out, taught)
    assert other["taught_prior_tissue"].item() == pytest.approx(usual["taught_prior_tissue"].item() / 4, rel=1e-6)
    assert other["taught_prior_nuclei"].item() == pytest.approx(usual["taught_prior_nuclei"].item() * 3, rel=1e-6)
    assert torch.equal(other["taught_tissue"], usual["taught_tissue"])


def test_teachers_without_types_and_without_a_prior():
    layout = HeadLayout(2, disagreement=False)
    pred, taught = outputs()[0][:, :5], outputs(seed=2)[0][:, :5]
    terms = CoSegLoss(layout).terms((pred, None), unlabelled(taught))
    assert set(terms) == {"taught_tissue", "taught_nuclei", "taught_hv_mse", "taught_hv_msge"}


def test_teachers_of_another_layout():
    with pytest.raises(ValueError, match="Expected 8 channels"):
        CoSegLoss(LAYOUT)(outputs(), unlabelled(outputs()[0]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"thin_weight": -5},
        {"thin_weight": float("nan")},
        {"thin_weight": "8"},
        {"thin_px": 0},
        {"thin_px": 25.0},
        {"focal_gamma": -1},
        {"taught_weight": -1.0},
        {"mse_weight": -1.0},
        {"msge_weight": -1.0},
        {"type_weights": [1, float("nan"), 1]},
        {"type_weights": [1, -1, 1]},
    ],
)
def test_numbers_out_of_their_range(wrong):
    with pytest.raises(ValueError, match=f"^Expected for {next(iter(wrong))} a (whole )?number from . on, got"):
        CoSegLoss(LAYOUT, **wrong)


@pytest.mark.parametrize("tasks", ["tissue", ("tisue",), ["nuclei", "type"]])
def test_tasks_that_there_are_none_of(tasks):
    """Their teachers taught nothing, and the loss of 0 was that of a batch without labels."""
    with pytest.raises(
        ValueError, match=f"Expected a list of tissue, nuclei, types as taught_tasks, got {re.escape(repr(tasks))}"
    ):
        CoSegLoss(LAYOUT, taught_tasks=tasks)
