import re
import subprocess
import sys

import pytest
import torch
import yaml

from coseg_bundle.inferers import Predictor
from coseg_bundle.inferers.configuration import RELEASED, Configuration, structure
from coseg_bundle.networks.about import About

IMAGE = torch.rand(1, 3, 70, 90, generator=torch.Generator().manual_seed(0))


def describe(inferer) -> list:
    """Kinds and settings of an inferer and all that it calls."""
    values = {k: v for k, v in sorted(vars(inferer).items()) if k not in ("inferer", "far")}
    return [
        type(inferer).__name__,
        values,
        *(describe(getattr(inferer, k)) for k in ("inferer", "far") if hasattr(inferer, k)),
    ]


def test_the_released_configuration_is_built_as_the_code_builds_it(bundle_root):
    content = yaml.safe_load((bundle_root / "configs" / "inference.yaml").read_text())
    assert structure(content) == RELEASED
    content["segmentation"]["sobel_size"] = 19  # numbers may differ
    assert structure(content) == RELEASED
    content["inferer"]["_target_"] = "mine"
    assert structure(content) != RELEASED


@pytest.mark.parametrize(
    "overrides", [{}, {"flips": True, "min_tissue_area_px": 7, "tile_size": 64, "two_scales": False}]
)
def test_with_and_without_monai_the_same(bundle_root, overrides):
    path, about = bundle_root / "configs" / "inference.yaml", About.of_file(bundle_root / "models" / "model.pt")
    assert about is not None
    quick = Configuration(path, overrides, about)
    parsed = Configuration(path, {**overrides, "overlap": "$1 / 16"}, about)  # MONAI reads expressions
    assert (quick._parser is None, parsed._parser is None) == (True, False)
    for configuration in (quick, parsed):
        configuration.update({"resolved_precision": "fp32"})
    assert quick.postprocessing() == parsed.postprocessing()
    assert describe(quick.inferer()) == describe(parsed.inferer())
    names = ("tissue_classes", "nuclei_classes", "mpp", "device", "tile_size", "overlap", "flips", "precision", "amp")
    assert {name: quick[name] for name in names} == {name: parsed[name] for name in names}
    assert quick.network().state_dict().keys() == parsed.network().state_dict().keys()


def test_weights_say_their_classes_and_their_network(bundle_root, make_network, tmp_path):
    from coseg_bundle.networks import HeadLayout, load_weights, save_released

    network = make_network(HeadLayout(3, 2), subpixel=2).eval()
    said = {"tissue_classes": ("glass", "tumour", "stroma"), "nuclei_classes": ("background", "a", "b"), "mpp": 0.5}
    save_released(network, tmp_path / "mine.pt", About.of(network, **said).to_tensor())
    load_weights(network, tmp_path / "mine.pt")  # in half precision now
    for options in ({}, {"overlap": "$1 / 16"}):
        predictor = Predictor.from_bundle(bundle_root, tmp_path / "mine.pt", "cpu", precision="fp32", **options)
        assert predictor.tissue_classes.names == said["tissue_classes"]
        assert predictor.nuclei_classes.names == said["nuclei_classes"]
        assert (predictor.mpp, predictor.network.layout) == (0.5, network.layout)
        with torch.inference_mode():
            expected = network(IMAGE[..., :64, :64])
            torch.testing.assert_close(predictor.network(IMAGE[..., :64, :64]), expected)


def test_weights_say_how_small_a_tissue_region_may_be(bundle_root, make_network, tmp_path):
    from coseg_bundle.networks import save_released

    network = make_network()
    said = {"tissue_classes": ("background", "gland"), "nuclei_classes": ("background", "nucleus"), "mpp": 0.25}
    for training, expected in (({}, 2000), ({"min_tissue_area_px": 70}, 70)):
        about = About.of(network, **said, training=training)
        save_released(network, tmp_path / "mine.pt", about.to_tensor())
        for options in ({}, {"overlap": "$1 / 16"}):
            predictor = Predictor.from_bundle(bundle_root, tmp_path / "mine.pt", "cpu", **options)
            assert predictor.postprocessing.min_tissue_area_px == expected
        given = Predictor.from_bundle(bundle_root, tmp_path / "mine.pt", "cpu", min_tissue_area_px=9)
        assert given.postprocessing.min_tissue_area_px == 9


def test_a_prediction_needs_no_monai(bundle_root):
    code = (
        "import sys; import numpy as np; from coseg_bundle.inferers import Predictor; "
        f"predictor = Predictor.from_bundle({str(bundle_root)!r}, device='cpu'); "
        "predictor.predict(np.full((40, 40, 3), 200, np.uint8)); "
        "print([m for m in ('monai', 'ignite', 'transformers', 'peft', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=bundle_root)
    assert done.stdout.strip() == "[]"


def test_every_size_of_the_windows_is_on_record(bundle_root):
    """Results are taken for finished where this record is the same."""
    predictor = Predictor.from_bundle(bundle_root, device="cpu", precision="fp32", far_tile_size=512)
    assert predictor.windows["far_tile_size"] == 512


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"flip": True}, "Unknown setting 'flip': did you mean flips?"),
        ({"xyzzy": 1}, "Unknown setting 'xyzzy': configs/inference.yaml lists them all."),
        ({"two_scales": "false"}, "Expected true or false for two_scales, got 'false'."),
        ({"far_weight": "3"}, "Expected a number for far_weight, such as 3, got '3'."),
        ({"mpp": 0.5}, "Expected 0.25 for mpp, what the weights say, got 0.5"),
        ({"tissue_classes": ["a", "b", "c"]}, "for tissue_classes, what the weights say"),
        ({"flips": "maybe"}, "Expected true or false for flips, got 'maybe'."),
        ({"far_weight": -1}, "Expected a far_weight of at least 0"),
        ({"far_weight": float("nan")}, "Expected a far_weight of at least 0"),
        ({"narrow_um": 0}, "narrow_um above 0"),
        ({"tile_batch_size": 0}, "Expected for tile_batch_size a whole number from 1 on, got 0."),
        ({"min_tissue_area_px": -1}, "Expected for min_tissue_area_px a number from 0 on, got -1."),
        ({"tile_size": 128.0}, "Expected a tile_size that is a whole multiple of 32, got 128.0."),
        ({"segmentation": {"sobel_size": 21.0}}, "Expected for sobel_size an odd number from 3 to 31, got 21.0."),
        ({"flips::x": True}, "Unknown setting 'flips::x': configs/inference.yaml lists them all."),
        ({"segmentation::min_nucleus_probb": 0.9}, "did you mean segmentation::min_nucleus_prob?"),
        ({"segmentation#min_nucleus_probb": 0.9}, "did you mean segmentation::min_nucleus_prob?"),
        ({"segmentation::min_nucleus_prob": 90}, "Expected for min_nucleus_prob a number from 0 to 1, got 90."),
        ({"segmentation::min_nucleus_prob": "0.9"}, "Expected for min_nucleus_prob a number from 0 to 1, got '0.9'."),
        (
            {"nifti": True},
            "Setting 'nifti' would change nothing: the weights say it, or only MONAI's workflows read it",
        ),
        ({"dataset_dir": "x"}, "'dataset_dir' would change nothing"),
        ({"evaluator": {"device": "cpu"}}, "'evaluator::device' would change nothing"),
        ({"postprocessing": {"table": False}}, "'postprocessing::table' would change nothing"),
        ({"network_def": {"prompting": "own"}}, "'network_def::prompting' would change nothing"),
        ({"network": 1}, "'network' would change nothing"),
        ({"layout": {"tissue_classes": 5}}, "'layout::tissue_classes' would change nothing"),
        ({"about": None}, "'about' would change nothing"),
        ({"resolved_precision": "fp32"}, "'resolved_precision' would change nothing"),
        ({"untrained": ["tissue"]}, "Expected [] for untrained, what the weights say, got ['tissue']; leave it out."),
        ({"nuclei_classes": 5}, "for nuclei_classes, what the weights say, got 5; leave it out."),
        ({"segmentation": None}, "Expected a table for segmentation, got None."),
        ({"inferer": 5}, "Expected a table for inferer, got 5."),
        ({"imports": "os"}, "Expected a list for imports, got 'os'."),
    ],
)
def test_settings_that_nothing_would_read(bundle_root, setting, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        Predictor.from_bundle(bundle_root, device="cpu", **setting)


def test_what_the_weights_say_may_be_said_again(bundle_root):
    said = Predictor.from_bundle(bundle_root, device="cpu", engine="torch")
    again = {"mpp": 0.25, "tissue_classes": [*said.tissue_classes.names], "untrained": []}
    assert describe(Predictor.from_bundle(bundle_root, engine="torch", **again).inferer) == describe(said.inferer)


def test_the_network_of_weights_that_do_not_say_theirs_is_the_configuration_s(bundle_root, make_network, tmp_path):
    """An ablation's weights that say nothing of themselves."""
    network = Predictor.from_bundle(bundle_root, device="cpu", engine="torch").network
    torch.save(network.state_dict(), tmp_path / "mute.pt")
    own = {"network_def": {"prompting": "own"}, "tissue_classes": ["a", "b", "c"], "untrained": ["tissue"]}
    predictor = Predictor.from_bundle(bundle_root, tmp_path / "mute.pt", "cpu", "torch", **own)
    assert predictor.network.prompting == "own"
    assert predictor.untrained == predictor.inferer.untrained == ("tissue",)
    with pytest.raises(ValueError, match="'nifti' would change nothing"):
        Predictor.from_bundle(bundle_root, tmp_path / "mute.pt", "cpu", "torch", nifti=True)


def test_a_setting_that_a_configuration_of_one_s_own_reads(bundle_root, tmp_path):
    """What counts as read follows from the file: here by way of another name."""
    path, about = tmp_path / "inference.yaml", About.of_file(bundle_root / "models" / "model.pt")
    content = yaml.safe_load((bundle_root / "configs" / "inference.yaml").read_text())
    content |= {"tile_size": "$32 * @mine::tiles", "mine": {"tiles": 2, "more": "@##wide"}, "unused": 3, "wide": 4}
    path.write_text(yaml.safe_dump(content))
    configuration = Configuration(path, {"mine": {"tiles": 3}, "wide": 5}, about)
    assert configuration["tile_size"] == 96
    assert configuration["mine"]["more"] == 5  # by a relative id
    assert Configuration(path, {"mine": None}, about)["mine"] is None  # a block may be turned off
    with pytest.raises(ValueError, match="'unused' would change nothing"):
        Configuration(path, {"unused": 4}, about)


@pytest.mark.parametrize(
    "settings",
    [
        {"segmentation": {"min_nucleus_prob": 0.6}},
        {"segmentation::sobel_size": 15, "segmentation#min_tissue_area_px": 5},
        {"segmentation": {"edge_threshold": 0.3, "normalisation": "minmax"}, "min_tissue_area_px": 9},
    ],
)
def test_onnxruntime_takes_what_the_postprocessing_takes(bundle_root, settings):
    """It was refused, as if the file had been changed."""
    path, about = bundle_root / "configs" / "inference.yaml", About.of_file(bundle_root / "models" / "model.pt")
    quick = Configuration(path, settings, about, "onnx").postprocessing()
    assert quick == Configuration(path, {**settings, "overlap": "$1 / 16"}, about).postprocessing()
    assert quick != Configuration(path, {}, about, "onnx").postprocessing()


def test_what_onnxruntime_does_not_take_is_named(bundle_root):
    path, about = bundle_root / "configs" / "inference.yaml", About.of_file(bundle_root / "models" / "model.pt")
    with pytest.raises(
        ValueError, match=r"engine onnx takes no other inferer::inferer::enabled than .*inference\.yaml has"
    ):
        Configuration(path, {"inferer": {"inferer": {"enabled": True}}, "flips": True}, about, "onnx")


def test_a_number_inside_a_block_is_read(bundle_root):
    predictor = Predictor.from_bundle(bundle_root, device="cpu", **{"segmentation::nuclei_threshold": 0.9})
    assert predictor.postprocessing.nuclei_threshold == 0.9


def test_a_table_replaces_values_of_its_block(bundle_root):
    """It took the block's place, and the first image ended with a TypeError."""
    predictor = Predictor.from_bundle(bundle_root, device="cpu", engine="torch", segmentation={"min_nucleus_prob": 0.6})
    by_id = Predictor.from_bundle(bundle_root, device="cpu", engine="torch", **{"segmentation::min_nucleus_prob": 0.6})
    assert predictor.postprocessing.min_nucleus_prob == 0.6
    assert predictor.settings == by_id.settings
    assert vars(predictor.postprocessing) == vars(by_id.postprocessing)
    far = {"inferer": {"inferer": {"inferer": {"far": {"batch_size": 3}}}}}
    deep = Predictor.from_bundle(bundle_root, device="cpu", engine="torch", inferer=far)
    assert deep.inferer.inferer.inferer.inferer.far.batch_size == 3
    with pytest.raises(ValueError, match="min_nucleus_probability"):
        Predictor.from_bundle(bundle_root, engine="torch", segmentation={"min_nucleus_probability": 0.6})
