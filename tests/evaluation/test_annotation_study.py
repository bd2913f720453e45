import numpy as np
import pytest
from PIL import Image

from coseg_bundle.evaluation.annotation_study import active_learning_study, refinement_study
from coseg_bundle.evaluation.plots import plot_learning
from coseg_bundle.inferers import Predictor


@pytest.mark.slow
def test_the_refinement_study_scores_both_kinds_of_images(bundle_root):
    rows = refinement_study(Predictor.from_bundle(bundle_root, device="cpu"), steps=3, images=1, size=128)
    assert [row["images"] for row in rows] == ["tissue is seen", "tissue must be guessed"]
    assert all(0 <= row[name] <= 1 for row in rows for name in ("unprompted_pq", "corrected_pq", "tissue_accuracy"))


@pytest.mark.slow
def test_every_strategy_starts_alike_and_annotates_as_much(bundle_root):
    predictor = Predictor.from_bundle(bundle_root, device="cpu")
    rows = active_learning_study(predictor, seeds=(0,), rounds=1, per_round=1, steps=1)
    assert [row["annotated"] for row in rows] == [0, 1, 0, 1]
    assert rows[0]["score"] == rows[2]["score"]


def test_the_curve_is_drawn(tmp_path):
    rows = [
        {"strategy": strategy, "seed": seed, "annotated": n, "score": n / 10 + seed / 50}
        for strategy in ("random", "coseg_disagreement")
        for seed in (0, 1)
        for n in (0, 2, 4)
    ]
    plot_learning(rows, tmp_path / "curve.png")
    assert np.asarray(Image.open(tmp_path / "curve.png").convert("L")).min() < 100
