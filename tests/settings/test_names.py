import pytest

from coseg_bundle.settings.names import default_of

CONFIG = {
    "flips": False,
    "segmentation": {"_target_": "coseg_bundle.postprocessing.prediction.PostProcessing", "min_nucleus_prob": 0.75},
    "handlers": [{"nifti": False}],
}


def test_what_a_configuration_says_of_a_setting():
    found = {key: default_of(key, CONFIG, "a.yaml") for key in ("flips", "handlers::0::nifti", "handlers#0#nifti")}
    assert set(found.values()) == {False}
    assert default_of("segmentation::min_nucleus_prob", CONFIG, "a.yaml") == 0.75
    assert default_of("segmentation::edge_threshold", CONFIG, "a.yaml") is None  # an argument that it leaves out


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("flip", "^Unknown setting 'flip': did you mean flips\\?$"),
        ("segmentation::min_nucleus_probb", "did you mean segmentation::min_nucleus_prob\\?"),
        ("segmentation::xyzzy", "a\\.yaml lists them all"),
        ("handlers::1::nifti", "Unknown setting 'handlers::1::nifti'"),
        ("flips::x", "Unknown setting 'flips::x'"),
    ],
)
def test_settings_that_there_are_not(key, words):
    with pytest.raises(ValueError, match=words):
        default_of(key, CONFIG, "a.yaml")
