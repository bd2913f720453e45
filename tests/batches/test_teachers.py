import pytest
import torch
from monai.inferers import SimpleInferer

from coseg_bundle.batches import Teachers
from coseg_bundle.inferers import FlipInferer
from coseg_bundle.losses import CoSegLoss
from coseg_bundle.networks import About, CheckpointError, HeadLayout, save_released
from coseg_bundle.networks.weights_file import ABOUT

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def trained(network, seed):
    """The network with other weights, as after a training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    return network.eval()


def written(network, path):
    torch.save(network.state_dict(), path)
    return path


def alone(network):
    with torch.no_grad():
        return network(IMAGE)


def test_the_mean_of_what_each_says_alone(make_network, tmp_path):
    first, second = trained(make_network(), 1), trained(make_network(), 2)
    files = [written(first, tmp_path / "1.pt"), written(second, tmp_path / "2.pt")]
    taught = Teachers(make_network(), files, SimpleInferer())(IMAGE)
    assert taught.shape == (2, 5, 64, 64)  # two tissue logits, a nuclei logit, the hv map; no disagreement
    torch.testing.assert_close(taught, (alone(first)[:, :5] + alone(second)[:, :5]) / 2)
    assert (alone(first) - alone(second)).abs().max() > 0.01


def test_a_file_that_says_what_it_is_may_be_of_another_size(make_network, tmp_path):
    teacher = trained(make_network(), 1)
    about = About.of(
        teacher, tissue_classes=("background", "gland"), nuclei_classes=("background", "nucleus"), mpp=0.25
    )
    file = tmp_path / "1.pt"
    torch.save(teacher.state_dict() | {ABOUT: about.to_tensor()}, file)
    for pupil in (make_network(encoder={"detail_depth": 1}), make_network(prompting="none")):
        torch.testing.assert_close(Teachers(pupil, [file], SimpleInferer())(IMAGE), alone(teacher)[:, :5])


def test_a_teacher_of_other_classes_is_refused(make_network, tmp_path):
    teacher = make_network(HeadLayout(3, 2))
    names = {"tissue_classes": ("a", "b", "c"), "nuclei_classes": ("background", "d", "e")}
    torch.save(teacher.state_dict() | {ABOUT: About.of(teacher, **names, mpp=0.25).to_tensor()}, tmp_path / "1.pt")
    with pytest.raises(CheckpointError, match="name teachers with the same classes"):
        Teachers(make_network(), [tmp_path / "1.pt"], SimpleInferer())


NAMES = {"tissue_classes": ("empty", "gland", "other"), "nuclei_classes": ("background", "round", "long")}


def said(network, path, **others):
    """A file that says what it is."""
    about = About.of(network, **{**NAMES, "mpp": 0.25, **others})
    torch.save(network.state_dict() | {ABOUT: about.to_tensor()}, path)
    return path


def test_classes_in_another_order_are_told_by_name(make_network, tmp_path):
    """What a teacher says of one class was taught as another."""
    layout = HeadLayout(3, 2)
    teacher = trained(make_network(layout), 1)
    file = said(teacher, tmp_path / "1.pt")
    ours = {"tissue_classes": ["other", "empty", "gland"], "nuclei_classes": ["background", "long", "round"]}
    taught = Teachers(make_network(layout), [file], SimpleInferer(), **ours)(IMAGE)
    torch.testing.assert_close(taught, alone(teacher)[:, [2, 0, 1, 3, 4, 5, 6, 8, 7]])
    for unnamed in ({}, NAMES):
        taught = Teachers(make_network(layout), [file], SimpleInferer(), **unnamed)(IMAGE)
        torch.testing.assert_close(taught, alone(teacher)[:, :9])


@pytest.mark.parametrize(("kind", "name"), [("tissue_classes", "fat"), ("nuclei_classes", "spindle")])
def test_a_teacher_of_other_names_is_refused(make_network, tmp_path, kind, name):
    file = said(make_network(HeadLayout(3, 2)), tmp_path / "1.pt")
    ours = {**NAMES, kind: (*NAMES[kind][:2], name)}
    words = f"has the {kind} {', '.join(NAMES[kind])}, the network that it should teach {', '.join(ours[kind])}: name"
    with pytest.raises(CheckpointError, match=words):
        Teachers(make_network(HeadLayout(3, 2)), [file], SimpleInferer(), **ours)


def test_capitals_of_class_names_do_not_matter(make_network, tmp_path):
    """A teacher of glands was refused where they are called Gland, as QuPath spells it."""
    layout = HeadLayout(3, 2)
    teacher = trained(make_network(layout), 1)
    file = said(teacher, tmp_path / "1.pt")
    ours = {"tissue_classes": ["Gland", "empty", "Other"], "nuclei_classes": ["background", "Long", "Round"]}
    taught = Teachers(make_network(layout), [file], SimpleInferer(), **ours)(IMAGE)
    torch.testing.assert_close(taught, alone(teacher)[:, [1, 0, 2, 3, 4, 5, 6, 8, 7]])
    unclear = {**ours, "tissue_classes": ["Gland", "GLAND", "Other"]}
    with pytest.raises(CheckpointError, match="should teach Gland, GLAND, Other: name teachers with the same classes"):
        Teachers(make_network(layout), [file], SimpleInferer(), **unclear)


def test_a_teacher_of_another_resolution_is_refused(make_network, tmp_path):
    """What it says of pixels of another size counted on every pixel, and no word was said."""
    file = said(make_network(HeadLayout(3, 2)), tmp_path / "1.pt", mpp=0.25)
    pupil = make_network(HeadLayout(3, 2))
    for near in (None, 0.25, 0.27):
        assert Teachers(pupil, [file], SimpleInferer(), **NAMES, mpp=near).tasks == ("tissue", "nuclei", "types")
    words = (
        r"1\.pt works at 0\.25 um per pixel, and the network that it should teach at 0\.5: name teachers of the same"
    )
    with pytest.raises(CheckpointError, match=words):
        Teachers(pupil, [file], SimpleInferer(), **NAMES, mpp=0.5)
    silent = written(make_network(HeadLayout(3, 2)), tmp_path / "2.pt")
    Teachers(pupil, [silent], SimpleInferer(), **NAMES, mpp=0.5)  # it does not say


def test_names_of_what_a_teacher_has_no_say_in_do_not_count(make_network, tmp_path):
    """Nuclei without classes are nuclei, whatever they are called; a task that was not taught has no classes."""
    plain = said(make_network(), tmp_path / "1.pt", tissue_classes=("a", "b"), nuclei_classes=("background", "cell"))
    ours = {"tissue_classes": ["a", "b"], "nuclei_classes": ["background", "nucleus"]}
    assert Teachers(make_network(), [plain], SimpleInferer(), **ours).tasks == ("tissue", "nuclei")
    silent = said(make_network(), tmp_path / "2.pt", tissue_classes=("c", "d"), untrained=("tissue",))
    assert Teachers(make_network(), [silent], SimpleInferer(), **ours).tasks == ("nuclei",)


def test_a_task_is_taught_by_those_who_know_it(make_network, tmp_path):
    """Weights that say of themselves that tissue means nothing taught it all the same."""
    layout = HeadLayout(3, 2)
    first, second = trained(make_network(layout), 1), trained(make_network(layout), 2)
    files = [said(first, tmp_path / "1.pt", untrained=("tissue", "types")), said(second, tmp_path / "2.pt")]
    teachers = Teachers(make_network(layout), files, SimpleInferer(), **NAMES)
    assert teachers.tasks == ("tissue", "nuclei", "types")
    one, other, taught = alone(first), alone(second), teachers(IMAGE)
    torch.testing.assert_close(taught[:, 3:6], (one[:, 3:6] + other[:, 3:6]) / 2)
    for group in (slice(0, 3), slice(6, 9)):
        torch.testing.assert_close(taught[:, group], other[:, group])


@pytest.mark.parametrize(
    ("untrained", "tasks"),
    [(["tissue"], ("nuclei", "types")), (["nuclei"], ("tissue",)), (["types"], ("tissue", "nuclei"))],
)
def test_what_no_teacher_knows_is_not_taught(make_network, tmp_path, untrained, tasks):
    layout = HeadLayout(3, 2)
    file = said(make_network(layout), tmp_path / "1.pt", untrained=untrained)
    teachers = Teachers(make_network(layout), [file], SimpleInferer(), **NAMES)
    assert teachers.tasks == tasks
    taught = HeadLayout(3, 2, disagreement=False).split(teachers(IMAGE))
    groups = {"tissue_logits": "tissue", "nuclei_logits": "nuclei", "hv_map": "nuclei", "type_logits": "types"}
    assert {group for group, value in taught.items() if value.isnan().all()} == {
        group for group, task in groups.items() if task not in tasks
    }
    pupil = make_network(layout)
    targets = {
        "tissue": torch.full((2, 1, 64, 64), 255),
        "nuclei": torch.full((2, 1, 64, 64), 255),
        "types": torch.full((2, 1, 64, 64), 255),
        "hv_map": torch.zeros(2, 2, 64, 64),
        "taught": teachers(IMAGE),
    }
    terms = CoSegLoss(layout, taught_tasks=teachers.tasks).terms(pupil(IMAGE, return_prior=True), targets)
    assert all(term.isfinite() for term in terms.values())
    assert {name.removeprefix("taught_prior_").removeprefix("taught_").partition("_")[0] for name in terms} == {
        *tasks,
        *(["hv"] if "nuclei" in tasks else []),
    }


def test_a_teacher_with_prompts_needs_a_pupil_with_prompts(make_network, tmp_path):
    file = written(make_network(), tmp_path / "prompted.pt")
    with pytest.raises(CheckpointError, match="has prompts, and the network that it should teach has none"):
        Teachers(make_network(prompting="none"), [file], SimpleInferer())


def test_a_file_without_prompts_is_a_network_without(make_network, tmp_path):
    plain, prompted = trained(make_network(prompting="none"), 1), trained(make_network(), 2)
    files = [written(plain, tmp_path / "plain.pt"), written(prompted, tmp_path / "prompted.pt")]
    teachers = Teachers(make_network(), files, SimpleInferer())
    assert [network.prompting for network in teachers.networks] == ["none", "crossed"]
    torch.testing.assert_close(teachers(IMAGE), (alone(plain) + alone(prompted)[:, :5]) / 2)


def test_types_come_before_the_disagreement(make_network, tmp_path):
    layout = HeadLayout(3, 2)
    teacher = trained(make_network(layout), 1)
    taught = Teachers(make_network(layout), [written(teacher, tmp_path / "1.pt")], SimpleInferer())(IMAGE)
    assert taught.shape[1] == 3 + 1 + 2 + 3
    torch.testing.assert_close(taught, alone(teacher)[:, :9])


def test_released_files_teach(make_network, tmp_path):
    teacher = trained(make_network(), 1)
    save_released(teacher, tmp_path / "model.pt")
    taught = Teachers(make_network(), [tmp_path / "model.pt"], SimpleInferer())(IMAGE)
    assert taught.dtype == torch.float32
    torch.testing.assert_close(taught, alone(teacher)[:, :5], rtol=0, atol=2e-2)  # half precision


def test_the_inferer_asks_each(make_network, tmp_path):
    pupil = make_network()
    teacher = trained(make_network(prompting="none"), 1)
    mirrored = FlipInferer(SimpleInferer(), pupil.layout)
    taught = Teachers(pupil, [written(teacher, tmp_path / "1.pt")], mirrored)(IMAGE)
    with torch.no_grad():
        torch.testing.assert_close(taught, mirrored(IMAGE, teacher))


def test_teachers_do_not_learn(make_network, tmp_path):
    pupil = make_network(encoder={"drop_path": 0.5}).train()
    teachers = Teachers(pupil, [written(trained(make_network(), 1), tmp_path / "1.pt")], SimpleInferer())
    assert not any(parameter.requires_grad for parameter in teachers.parameters())
    assert torch.nn.ModuleList([teachers]).train()[0] is teachers
    assert not any(module.training for module in teachers.modules())
    taught = teachers(IMAGE)
    assert torch.is_grad_enabled()
    assert not taught.requires_grad
    torch.testing.assert_close(teachers(IMAGE), taught, rtol=0, atol=0)  # drop path is for the pupil


@pytest.mark.parametrize("prompting", ["crossed", "none"])
def test_the_pupil_stays_as_it_is(make_network, tmp_path, prompting):
    pupil = make_network().train()
    before = {name: value.clone() for name, value in pupil.state_dict().items()}
    teacher = trained(make_network(prompting=prompting), 1)
    teachers = Teachers(pupil, [written(teacher, tmp_path / "1.pt")], SimpleInferer())
    assert all(torch.equal(value, before[name]) for name, value in pupil.state_dict().items())
    assert all(module.training for module in pupil.modules())
    assert all(parameter.requires_grad for parameter in pupil.parameters())
    assert pupil.layout.disagreement
    assert pupil.mp_decoder.layout.disagreement
    assert pupil(IMAGE).shape[1] == 7
    own = {value.untyped_storage().data_ptr() for value in pupil.state_dict().values()}
    theirs = {value.untyped_storage().data_ptr() for value in teachers.state_dict().values()}
    assert not own & theirs
    trained(pupil, 2)
    torch.testing.assert_close(teachers(IMAGE), alone(teacher)[:, :5])


def test_no_teacher(make_network):
    with pytest.raises(ValueError, match="at least one teacher, got an empty list"):
        Teachers(make_network(), [], SimpleInferer())


def test_files_that_do_not_fit(make_network, tmp_path):
    pupil = make_network()
    with pytest.raises(CheckpointError, match=r"absent\.pt does not exist"):
        Teachers(pupil, [tmp_path / "absent.pt"], SimpleInferer())
    fitting = written(make_network(), tmp_path / "fitting.pt")
    foreign = written(make_network(HeadLayout(5)), tmp_path / "foreign.pt")
    with pytest.raises(CheckpointError, match=r"foreign\.pt belongs to another network.*another shape"):
        Teachers(pupil, [fitting, foreign], SimpleInferer())
    torch.save({"something.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt belongs to another network.*missing"):
        Teachers(pupil, [tmp_path / "other.pt"], SimpleInferer())


def test_a_released_file_teaches_a_network_with_lora(make_network, tmp_path):
    """Released files have LoRA merged away; the pupil's own must not be added to it."""
    teacher = trained(make_network(), 1)
    pupil = trained(make_network(encoder={"lora_rank": 2}), 2)
    torch.testing.assert_close(
        Teachers(pupil, [written(teacher, tmp_path / "merged.pt")], SimpleInferer())(IMAGE), alone(teacher)[:, :5]
    )
