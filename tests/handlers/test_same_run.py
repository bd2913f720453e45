import pytest

from coseg_bundle.handlers.same_run import check_same_run


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
