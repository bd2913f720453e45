import pytest

from coseg_bundle.handlers.same_run import check_same_run, weights_named


def test_another_run_is_refused_with_what_differs(tmp_path):
    checkpoint = tmp_path / "run" / "checkpoints" / "last.pt"
    check_same_run(str(checkpoint), {"seed": 0, "names": ("a",)})
    check_same_run(str(checkpoint), {"seed": 1, "names": ["a"]})  # nothing was saved of the first
    checkpoint.write_text("")
    check_same_run(str(checkpoint), {"seed": 1, "names": ["a"]})
    with pytest.raises(ValueError, match=r"run holds another run \(seed was 1, is 2; mpp was None, is 0.5\)"):
        check_same_run(str(checkpoint), {"seed": 2, "names": ["a"], "mpp": 0.5})
    check_same_run(str(checkpoint), {"seed": 2, "names": ["a"]}, resume=False)
    check_same_run(str(checkpoint), {"seed": 2, "names": ["a"]})


def test_a_fresh_run_leaves_no_checkpoint_of_another(tmp_path):
    """Killed before its own first checkpoint, it is not gone on with from the other's."""
    checkpoint = tmp_path / "checkpoints" / "last.pt"
    check_same_run(str(checkpoint), {"seed": 0})
    checkpoint.write_text("of seed 0")
    check_same_run(str(checkpoint), {"seed": 1}, resume=False)
    assert not checkpoint.exists()


def test_weights_of_the_same_name(tmp_path):
    checkpoint, said = tmp_path / "checkpoints" / "last.pt", []
    for folder, content in [("a", "one"), ("b", "one"), ("c", "other")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.pt").write_text(content)
        said.append(weights_named(tmp_path / folder / "model.pt"))
    assert said[0] == said[1]  # wherever they lie
    assert (weights_named(None), weights_named("gone/model.pt")) == ("", "model.pt")
    check_same_run(str(checkpoint), {"start_weights": said[0], "teachers": [said[2]]})
    checkpoint.write_text("")
    with pytest.raises(ValueError, match=r"start_weights was model.pt \(\w{8}\), is model.pt \(\w{8}\)\): give"):
        check_same_run(str(checkpoint), {"start_weights": said[2], "teachers": [said[2]]})
    with pytest.raises(ValueError, match="teachers was"):
        check_same_run(str(checkpoint), {"start_weights": said[0], "teachers": [said[0]]})
    check_same_run(str(checkpoint), {"start_weights": "model.pt", "teachers": ["model.pt"]})  # gone, or not yet said
    check_same_run(str(checkpoint), {"start_weights": said[2], "teachers": [said[2]]})
