import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from coseg_bundle.classes import ClassMap, result_classes
from coseg_bundle.inferers import Predictor, TaughtInferer
from coseg_bundle.inferers.predict_files import predict_files
from coseg_bundle.networks import About, HeadLayout, save_released
from coseg_bundle.postprocessing.prediction import PostProcessing

LAYOUT = HeadLayout(2, 3)
GREY = np.random.default_rng(0).integers(170, 190, (32, 32, 3), np.uint8)
FILES = {"instances.tif", "tissue.tif", "nuclei.geojson", "tissue.geojson", "nuclei.csv", "overlay.png", "summary.json"}


class Says(torch.nn.Module):
    """Calls the middle a nucleus of type 2, and everything gland."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pred = torch.zeros(len(image), LAYOUT.channels, *image.shape[-2:])
        parts = LAYOUT.split(pred)
        parts["tissue_logits"][:, 1] = 5
        parts["nuclei_logits"][:] = -5
        parts["nuclei_logits"][..., 8:24, 8:24] = 5
        parts["type_logits"][:, 2] = 5
        parts["disagreement"][:] = 0.5
        return pred


def whole(images, network):
    return network(images)


def predictor(*untrained):
    inferer = TaughtInferer(whole, LAYOUT, untrained)
    names = ClassMap(("background", "gland")), ClassMap(("background", "a", "b", "c"))
    return Predictor(
        Says(), inferer, PostProcessing(inferer.layout, sobel_size=5), *names, mpp=0.25, untrained=untrained
    )


def test_what_is_taught_stays():
    x = torch.zeros(2, 3, 32, 32)
    torch.testing.assert_close(TaughtInferer(whole, LAYOUT)(x, Says()), Says()(x))


@pytest.mark.parametrize(
    ("untrained", "groups"),
    [
        (("tissue",), ["tissue_logits", "nuclei_logits", "hv_map", "type_logits", "disagreement"]),
        (("types",), ["tissue_logits", "nuclei_logits", "hv_map", "disagreement"]),
        (("nuclei", "types"), ["tissue_logits", "nuclei_logits", "hv_map", "disagreement"]),
    ],
)
def test_by_hand(untrained, groups):
    inferer = TaughtInferer(whole, LAYOUT, untrained)
    said = inferer.layout.split(inferer(torch.zeros(1, 3, 32, 32), Says()))
    assert list(said) == groups
    assert (said["tissue_logits"].argmax(1) == (0 if "tissue" in untrained else 1)).all()
    assert bool((said["nuclei_logits"] > 0).any()) == ("nuclei" not in untrained)
    assert said["disagreement"][0, :, 0, 0].tolist() == [
        0.5 * ("tissue" not in untrained),
        0.5 * ("nuclei" not in untrained),
    ]


def test_unknown_tasks():
    with pytest.raises(ValueError, match="Expected untrained tasks among tissue, nuclei, types, got glands"):
        TaughtInferer(whole, LAYOUT, ["glands"])


@pytest.mark.parametrize(
    ("untrained", "absent", "kind", "tissue"),
    [
        ((), set(), "b", "gland"),
        (("tissue",), {"tissue.tif", "tissue.geojson"}, "b", "untrained"),
        (("types",), set(), "nucleus", "gland"),
        (("nuclei", "types"), {"instances.tif", "nuclei.geojson", "nuclei.csv"}, None, "gland"),
    ],
)
def test_no_file_says_what_nobody_taught(tmp_path, untrained, absent, kind, tissue):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    everything = predictor()
    list(predict_files(everything, [tmp_path / "a.png"], tmp_path / "out", nifti=True))  # files of an earlier run
    [result] = predict_files(predictor(*untrained), [tmp_path / "a.png"], tmp_path / "out")
    assert result.error is None
    assert {path.name for path in result.folder.iterdir()} == FILES - absent
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["untrained"] == list(untrained)
    assert summary["tissue_area_px"][tissue] == 32 * 32
    if kind is None:
        assert (summary["nuclei"], summary["nuclei_by_class"]) == (0, {"untrained": 0})
        return
    [row] = csv.DictReader((result.folder / "nuclei.csv").open())
    assert (row["type"], row["tissue"], bool(row["type_prob"])) == (kind, tissue, kind == "b")
    [feature] = json.loads((result.folder / "nuclei.geojson").read_text())["features"]
    properties = feature["properties"]
    assert (properties["classification"]["name"], properties["metadata"]["tissue"]) == (kind, tissue)
    assert ("Class probability" in properties["measurements"]) == (kind == "b")
    tinted = np.asarray(Image.open(result.folder / "overlay.png"))[2, 2]
    assert (tinted.tolist() == GREY[2, 2].tolist()) == ("tissue" in untrained)


def test_volumes_are_left_out_too(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    [result] = predict_files(predictor("tissue"), [tmp_path / "a.png"], tmp_path / "out", nifti=True)
    assert {path.name for path in result.folder.glob("*.nii.gz")} == {"image.nii.gz", "instances.nii.gz"}


def test_weights_say_it(bundle_root, make_network, tmp_path):
    network = make_network(HeadLayout(2, 2), subpixel=2).eval()
    said = {"tissue_classes": ("background", "gland"), "nuclei_classes": ("background", "a", "b"), "mpp": 0.25}
    about = About.of(network, **said, untrained=("tissue", "types"))
    save_released(network, tmp_path / "mine.pt", about.to_tensor())
    for options in ({}, {"overlap": "$1 / 16"}):  # read without and with MONAI
        found = Predictor.from_bundle(bundle_root, tmp_path / "mine.pt", "cpu", precision="fp32", **options)
        assert found.untrained == ("tissue", "types")
        assert [names.names for names in found.result_classes] == [("untrained",), ("background", "nucleus")]
        assert found.postprocessing.layout == replace(network.layout, nuclei_types=0)
        prediction = found.predict(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
        assert not prediction.tissue_map.any()
        assert not prediction.instances.type_id.any()


def test_names_by_hand():
    tissue, nuclei = result_classes(("background", "gland"), ("background", "a", "b"), ())
    assert (tissue.names, nuclei.names) == (("background", "gland"), ("background", "a", "b"))
    assert result_classes(("x", "y"), ("background", "a", "b"), ("nuclei", "types"))[1].names == (
        "background",
        "untrained",
    )
