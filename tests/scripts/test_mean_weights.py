import sys

import pytest
import torch

from coseg_bundle.networks.about import About


def said(name="round", seed=0, mpp=0.25, **others):
    network = {"layout": {"tissue_classes": 2, "nuclei_types": 2}}
    classes = ("other", "gland"), ("background", "flat", name)
    return About(*classes, mpp, network, training={"seed": seed}, **others).to_tensor()


@pytest.fixture
def mean_of(script, tmp_path, monkeypatch):
    """The script on two files of some content; what it writes."""

    def run(first, second):
        for name, content in (("a", first), ("b", second)):
            torch.save(content, tmp_path / f"{name}.pt")
        output = tmp_path / "new" / "c.pt"
        monkeypatch.setattr(sys, "argv", ["mean_weights.py", *(str(tmp_path / f"{n}.pt") for n in "ab"), str(output)])
        try:
            script.main()
        except SystemExit:
            assert not output.exists()
            raise
        return torch.load(output, weights_only=True)

    return run


def test_mean_of_floats_the_first_ones_rest(mean_of):
    first = {"a": torch.tensor([1.0, 3.0]).half(), "count": torch.tensor(1), "about": said("round", seed=1)}
    second = {"a": torch.tensor([3.0, 4.0]).half(), "count": torch.tensor(2), "about": said("round", seed=2)}
    mean = mean_of(first, second)
    assert mean["a"].tolist() == [2.0, 3.5]
    assert mean["a"].dtype == torch.float16
    assert mean["count"] == 1
    assert torch.equal(mean["about"], first["about"])
    del first["about"]  # what a file does not say is not compared, nor taken from the other
    assert mean_of(first, second).keys() == {"a", "count"}


def test_what_no_answer_is_computed_with_may_differ(mean_of):
    first, second = {"a": torch.zeros(2), "two_scales": torch.tensor(True)}, {"a": torch.ones(2)}
    assert mean_of(first, second)["two_scales"]
    assert mean_of(second, first).keys() == {"a"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": torch.ones(1)}, {"b": torch.ones(1)}),
        ({"a": torch.ones(1)}, {"a": torch.ones(1), "b": torch.ones(1)}),
        ({"a": torch.ones(1), "b": torch.ones(1)}, {"a": torch.ones(1)}),
        ({"b": torch.ones(1)}, {"b": torch.ones(2)}),
        ({"b": torch.ones(3, 1)}, {"b": torch.ones(3)}),
    ],
)
def test_another_network_has_no_mean(mean_of, first, second):
    with pytest.raises(SystemExit, match=r"Expected two weights of one network, got \d parameters .*example [ab]\);"):
        mean_of(first, second)


def test_other_classes_have_no_mean(mean_of):
    weights = {"a": torch.ones(1)}
    with pytest.raises(
        SystemExit, match=r"same nuclei_classes, got .*'round'.* in .*a\.pt and .*'spindle'.* in .*b\.pt;"
    ):
        mean_of({**weights, "about": said("round")}, {**weights, "about": said("spindle")})


def test_what_the_first_says_is_true_of_both(mean_of):
    """The mean of two resolutions said that of the first, and that it was taught what the second was not."""
    weights = {"a": torch.ones(1)}
    for words, others in ((r"mpp, got 0\.25 in .*0\.5 in", {"mpp": 0.5}), ("untrained", {"untrained": ("tissue",)})):
        with pytest.raises(SystemExit, match=f"Expected two weights of the same {words}.*; train both alike"):
            mean_of({**weights, "about": said()}, {**weights, "about": said(**others)})


def test_a_file_that_is_none(mean_of):
    with pytest.raises(SystemExit, match="holds no network weights"):
        mean_of({"a": torch.ones(1)}, [1])
