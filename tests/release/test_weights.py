"""The second file of weights, for commercial use."""

from pathlib import Path

from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.inferers import Predictor
from coseg_bundle.networks.about import About

FILE = Path(__file__).parents[2] / "models" / "commercial.pt"


def test_they_know_nuclei_alone_from_three_sets():
    about = About.of_file(FILE)
    assert about is not None
    assert about.tissue_classes == ("empty", "other_tissue")
    assert about.nuclei_classes == ("background", "nucleus")
    assert about.training["sampling_weights"].keys() == {"tnbc", "points", "puma"}
    assert about.training["teachers"] == []


def test_they_segment():
    predictor = Predictor.from_bundle(weights=FILE, device="cpu", engine="torch", precision="fp32")  # compares the sum
    prediction = predictor.predict(synthetic_tissue(size=128, seed=0).rgb, 0.25)
    assert len(prediction.instances) > 0
    assert (prediction.tissue_map == 1).mean() > 0.5
