from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from coseg_bundle.evaluation.annotation_study import active_learning_study, listening_study, refinement_study
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


def test_listening_counts_what_changes(tmp_path, monkeypatch):
    """By hand: of two nuclei one goes when glands are told; half of the gland goes without nuclei."""
    Image.fromarray(np.full((8, 16, 3), 200, np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.ones((8, 16), np.uint8)).save(tmp_path / "gland.png")
    nuclei, tissue = np.zeros((8, 16), np.int32), np.ones((8, 16), np.uint8)
    nuclei[:4, :4], nuclei[4:, 8:] = 1, 2
    said = []

    class Listens:
        def __init__(self, *_):
            pass

        def infer(self, rgb, tissue=None, nuclei=None):
            said.append((tissue, nuclei))
            return "gland" if tissue is not None else "none" if nuclei is not None else "silent"

    class Says:
        mpp = 0.25
        postprocessing = SimpleNamespace(
            maps=lambda pred: (
                np.where(nuclei == 2, 0, nuclei) if pred == "gland" else nuclei,
                np.where(np.arange(16) < 8, 0, tissue).astype(np.uint8) if pred == "none" else tissue,
            )
        )

    monkeypatch.setattr("coseg_bundle.evaluation.annotation_study.Refiner", Listens)
    [row] = listening_study(Says(), [{"image": str(tmp_path / "a.png"), "tissue": str(tmp_path / "gland.png")}])
    assert row == {"image": "a.png", "nuclei": 2, "nuclei_changed": 1, "tissue_changed": 0.5}
    assert [(t is not None, n is not None) for t, n in said] == [(False, False), (True, False), (False, True)]
    assert said[1][0].tolist() == np.ones((8, 16)).tolist()
    assert not said[2][1].any()


def test_the_curve_is_drawn(tmp_path):
    rows = [
        {"strategy": strategy, "seed": seed, "annotated": n, "score": n / 10 + seed / 50}
        for strategy in ("random", "coseg_disagreement")
        for seed in (0, 1)
        for n in (0, 2, 4)
    ]
    plot_learning(rows, tmp_path / "curve.png")
    assert np.asarray(Image.open(tmp_path / "curve.png").convert("L")).min() < 100
