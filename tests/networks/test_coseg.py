from types import FunctionType

import pytest
import torch
from monai.networks.utils import copy_model_state

from coseg_bundle.networks import CoSeg, HeadLayout
from coseg_bundle.networks.coseg import TaskLogits, disagreement, overruled
from coseg_bundle.networks.weights_file import CheckpointError

LADDER = {  # Table 4 of the paper
    "baseline": {"prompting": "none", "paradigm": "separate"},
    "+P": {"prompting": "own", "paradigm": "separate"},
    "+P+D": {"prompting": "crossed", "paradigm": "separate"},
    "+P+D+C": {"prompting": "crossed", "paradigm": "joint"},
}


def count(module: torch.nn.Module | None) -> int:
    return sum(p.numel() for p in module.parameters()) if module is not None else 0


@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_output_is_one_tensor(make_network, size):
    network = make_network(HeadLayout(3, 2)).eval()
    image = torch.rand(2, 3, *size)
    with torch.no_grad():
        pred = network(image)
        again, prior = network(image, return_prior=True)
    assert pred.shape == (2, 3 + 1 + 2 + 3 + 2, *size)
    assert torch.equal(pred, again)
    assert prior.shape == (2, 3 + 1, *size)


def test_one_encoder_pass(make_network):
    network = make_network()
    calls = []
    network.image_encoder.register_forward_hook(lambda *_: calls.append(1))
    network(torch.rand(1, 3, 64, 64), return_prior=True)
    assert len(calls) == 1


def test_the_same_decoder_decodes_twice(make_network):
    network = make_network()
    prompts = []
    network.mp_decoder.tissue.register_forward_hook(lambda _, args, __: prompts.append(args[1]))
    network(torch.rand(1, 3, 64, 64))
    assert [prompt is None for prompt in prompts] == [True, False]


def test_ladder_parameter_counts(make_network):
    networks = {name: make_network(**switches) for name, switches in LADDER.items()}
    encoder = count(networks["baseline"].image_encoder)
    decoder, prompts = count(networks["baseline"].mp_decoder), count(networks["+P"].rp_encoder)
    assert {name: count(network) for name, network in networks.items()} == {
        "baseline": 2 * encoder + decoder,
        "+P": 2 * encoder + decoder + prompts,
        "+P+D": 2 * encoder + decoder + prompts,
        "+P+D+C": encoder + decoder + prompts,
    }


def test_prompts_cross_or_do_not(make_network):
    torch.manual_seed(1)
    image, logits = torch.rand(1, 3, 64, 64), TaskLogits(torch.randn(1, 2, 64, 64), torch.randn(1, 1, 64, 64))
    moved = TaskLogits(logits.tissue + torch.randn(1, 2, 64, 64), logits.nuclei)  # other tissue, the same nuclei
    for prompting, changes in (("crossed", {"nuclei"}), ("own", {"tissue"})):
        network = make_network(prompting=prompting).eval()
        with torch.no_grad():
            embeddings = network.encode(image)
            before, after = network.prompt(logits, embeddings), network.prompt(moved, embeddings)
        changed = {n for n in ("tissue", "nuclei") if not torch.equal(getattr(before, n), getattr(after, n))}
        assert changed == changes


@pytest.mark.parametrize(("paradigm", "reaches"), [("joint", True), ("separate", False)])
def test_gradient_of_one_task_reaches_the_other_only_jointly(make_network, paradigm, reaches):
    network = make_network(paradigm=paradigm)
    pred = network(torch.rand(1, 3, 64, 64))
    network.layout.split(pred)["nuclei_logits"].sum().backward()
    gradients = [p.grad for p in network.mp_decoder.tissue.parameters()]
    assert any(g is not None and g.abs().sum() > 0 for g in gradients) is reaches


def test_separate_encoders_are_two(make_network):
    network = make_network(paradigm="separate")
    calls = []
    network.image_encoder.register_forward_hook(lambda *_: calls.append("tissue"))
    network.nuclei_image_encoder.register_forward_hook(lambda *_: calls.append("nuclei"))
    network(torch.rand(1, 3, 64, 64))
    assert calls == ["tissue", "nuclei"]


def test_disagreement_by_hand():
    def logits(p: float) -> torch.Tensor:
        return torch.logit(torch.tensor(p)).view(1, 1, 1, 1)

    def pair(p: float) -> torch.Tensor:
        return torch.log(torch.tensor([1 - p, p])).view(1, 2, 1, 1)

    moved = disagreement(TaskLogits(pair(0.2), logits(0.9)), TaskLogits(pair(0.7), logits(0.6)))
    assert moved.flatten().tolist() == pytest.approx([0.5, 0.3])
    three = [torch.log(torch.tensor(p)).view(1, 3, 1, 1) for p in ([0.2, 0.3, 0.5], [0.6, 0.3, 0.1])]
    moved = disagreement(TaskLogits(three[0], logits(0.9)), TaskLogits(three[1], logits(0.9)))
    assert moved.flatten().tolist() == pytest.approx([0.4, 0.0], abs=1e-6)


def test_no_prior_without_prompts(make_network):
    network = make_network(prompting="none")
    pred, prior = network(torch.rand(1, 3, 64, 64), return_prior=True)
    assert prior is None
    assert pred.shape[1] == 5


def test_bfloat16_is_close(make_network):
    network = make_network().eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        exact = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            fast = network(image)
    assert fast.dtype == torch.float32
    assert torch.allclose(exact, fast, atol=0.1)


def test_switches_must_fit(make_network):
    parts = make_network()
    with pytest.raises(ValueError, match="prompting none"):
        CoSeg(parts.image_encoder, parts.mp_decoder, None, prompting="crossed")
    with pytest.raises(ValueError, match="no disagreement"):
        CoSeg(parts.image_encoder, parts.mp_decoder, None, prompting="none")
    with pytest.raises(ValueError, match="Expected prompting crossed, own or none"):
        CoSeg(parts.image_encoder, parts.mp_decoder, parts.rp_encoder, prompting="both")


def test_what_somebody_says_takes_the_place_of_the_prior(make_network):
    network = make_network().eval()
    image = torch.rand(1, 3, 64, 64)
    silent, gland = torch.full((1, 1, 64, 64), 255), torch.ones(1, 1, 64, 64)
    parts = network.layout.slices
    with torch.inference_mode():
        plain, prior = network(image, return_prior=True)
        unsaid = network(image, said={"tissue": silent, "nuclei": silent})
        said, same_prior = network(image, return_prior=True, said={"tissue": gland})
    assert torch.equal(plain, unsaid)
    assert torch.equal(prior, same_prior)
    assert torch.equal(said[:, parts["tissue_logits"]], plain[:, parts["tissue_logits"]])
    assert not torch.equal(said[:, parts["nuclei_logits"]], plain[:, parts["nuclei_logits"]])


def test_overruled_by_hand():
    logits = torch.tensor([[[[0.5, 0.5]], [[1.0, 1.0]]]])
    assert overruled(logits, torch.tensor([[[[255, 0]]]])).tolist() == [[[[0.5, 3.0]], [[1.0, -3.0]]]]
    assert overruled(logits[:, :1], torch.tensor([[[[1, 0]]]])).tolist() == [[[[6.0, -6.0]]]]


@pytest.mark.parametrize(
    "switches", [{}, {"prompting": "own"}, {"prompting": "none"}, {"paradigm": "separate"}], ids=str
)
def test_tissue_alone_is_the_tissue_of_the_whole(make_network, switches):
    network = make_network(HeadLayout(3, disagreement=switches.get("prompting") != "none"), **switches).eval()
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        expected = network.layout.split(network(image))["tissue_logits"]
        torch.testing.assert_close(network.tissue_alone(image), expected, atol=1e-6, rtol=1e-6)


def test_what_a_file_says_of_itself_is_no_weight(make_network):
    network = make_network()
    network.load_state_dict(network.state_dict() | {"about": torch.zeros(3, dtype=torch.uint8)})
    with pytest.raises(RuntimeError, match="Unexpected"):
        network.load_state_dict(network.state_dict() | {"else": torch.zeros(3)})


def _load(network, state):
    copy_model_state(network, state)


def test_weights_of_another_network_are_not_taken_in_part(make_network):
    """As `monai.bundle.load` copies them: what fits, over what was there, which is random."""
    load = FunctionType(_load.__code__, {"__name__": "monai.bundle.scripts", "copy_model_state": copy_model_state})
    network, same, other = make_network(HeadLayout(2)), make_network(HeadLayout(2)), make_network(HeadLayout(3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = other.state_dict()
    unlike = [name for name, value in before.items() if value.shape != state[name].shape]
    with pytest.raises(CheckpointError, match=rf"nothing for {len(unlike)} of this one's {len(before) - 1} parameters"):
        load(network, state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    fitting = {name: value for name, value in state.items() if name in before and name not in unlike}
    copy_model_state(network, fitting)  # whoever says so may
    network.load_state_dict(network.state_dict() | fitting)
    load(network, same.state_dict())
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in network.state_dict().items())


def test_weights_from_before_they_said_their_scales(make_network):
    network, other = make_network(), make_network()
    said = {name: value for name, value in other.state_dict().items() if name != "two_scales"}
    copy_model_state(network, said)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in said.items())
