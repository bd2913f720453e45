import numpy as np
import pytest

from coseg_bundle.metrics.puma import (
    NucleiScore,
    Nucleus,
    aggregate_nuclei,
    read_nuclei,
    score_nuclei,
    tissue_dice,
    tissue_micro_dice,
)


def slow_matches(pred, truth):
    """The rule, nucleus by nucleus, on lists."""
    left, matched = list(pred), 0
    for t in truth:
        eligible = []
        for p in left:
            d = float(np.hypot(p.centroid_xy[0] - t.centroid_xy[0], p.centroid_xy[1] - t.centroid_xy[1]))
            if p.name == t.name and d < 15:
                eligible.append((p, d))
        if eligible:
            chosen = sorted(eligible, key=lambda pair: (-pair[0].score, pair[1]))[0][0]
            for i, p in enumerate(left):
                if p.name == t.name and p.centroid_xy == chosen.centroid_xy:
                    del left[i]
                    break
            matched += 1
    return matched


def nuclei(rng, count, names=("tumor", "lymphocyte", "other")):
    """Few places and few scores, so that ties and duplicates abound."""
    places = rng.integers(0, 8, (count, 2)) * 7.0
    return [
        Nucleus(names[rng.integers(len(names))], tuple(xy), float(rng.choice([0.2, 0.5, 0.5, 1.0])))
        for xy in places.tolist()
    ]


def test_the_highest_score_wins_before_the_nearest():
    truth = [Nucleus("a", (0, 0)), Nucleus("a", (2, 0))]
    pred = [Nucleus("a", (1, 0), 0.3), Nucleus("a", (14, 0), 0.9), Nucleus("b", (0, 0), 1.0)]
    scores = score_nuclei(pred, truth)
    assert scores == {"a": NucleiScore(tp=2, fp=0, fn=0), "b": NucleiScore(tp=0, fp=1, fn=0)}
    # the first takes the far but sure one, which is out of reach of the second
    assert score_nuclei(pred, truth[:1])["a"] == NucleiScore(tp=1, fp=1, fn=0)


def test_fifteen_pixels_are_too_far():
    assert score_nuclei([Nucleus("a", (15, 0))], [Nucleus("a", (0, 0))])["a"].tp == 0
    assert score_nuclei([Nucleus("a", (14.999, 0))], [Nucleus("a", (0, 0))])["a"].tp == 1


def test_equal_to_the_rule_on_random_files():
    rng = np.random.default_rng(0)
    for _ in range(300):
        pred, truth = nuclei(rng, rng.integers(0, 30)), nuclei(rng, rng.integers(0, 30))
        scores = score_nuclei(pred, truth)
        assert sum(score.tp for score in scores.values()) == slow_matches(pred, truth)
        assert sum(score.tp + score.fp for score in scores.values()) == len(pred)
        assert sum(score.tp + score.fn for score in scores.values()) == len(truth)


def test_a_class_that_a_file_lacks_counts_as_0():
    files = [{"a": NucleiScore(1, 0, 0)}, {"a": NucleiScore(1, 1, 0), "b": NucleiScore(2, 0, 0)}, {}]
    scores = aggregate_nuclei(files)
    assert scores.f1 == pytest.approx({"a": (1 + 2 / 3) / 3, "b": 1 / 3})
    assert scores.macro_f1 == pytest.approx(((1 + 2 / 3) / 3 + 1 / 3) / 2)
    assert scores.summed_f1 == pytest.approx({"a": 4 / 5, "b": 1})
    assert scores.summed_macro_f1 == pytest.approx(0.9)
    with pytest.raises(ValueError, match="at least one file"):
        aggregate_nuclei([])


def test_reading():
    square = [[0, 0, 0.5], [4, 0, 0.5], [4, 2, 0.5], [0, 2, 0.5]]
    content = {
        "polygons": [{"name": "a", "path_points": square, "score": 0.3}, {"name": "b", "path_points": square[:2]}]
    }
    assert read_nuclei(content) == [Nucleus("a", (2.0, 1.0), 0.3)]
    assert read_nuclei({"polygons": [{"name": "a", "path_points": square}]})[0].score == 1
    assert read_nuclei({"polygons": []}) == []


@pytest.mark.parametrize("content", [{}, {"polygons": {}}, {"polygons": None}, {"features": []}, [], None])
def test_what_is_no_challenge_file_is_refused(content):
    """It was an image without nuclei."""
    with pytest.raises(ValueError, match="no list under polygons, but"):
        read_nuclei(content)


def test_tissue_by_hand():
    truth, pred = np.array([[1, 1, 2, 0]]), np.array([[1, 2, 2, 3]])
    scores = tissue_dice(pred, truth)
    assert scores["tissue_stroma"] == pytest.approx((2 + 1e-5) / (3 + 1e-5), abs=1e-12)
    assert scores["tissue_blood_vessel"] == pytest.approx((2 + 1e-5) / (3 + 1e-5), abs=1e-12)
    assert scores["tissue_tumor"] == pytest.approx(1e-5 / (1 + 1e-5), abs=1e-12)
    assert scores["tissue_epidermis"] == scores["tissue_necrosis"] == 1
    assert scores["average_dice"] == pytest.approx(np.mean([scores[n] for n in list(scores)[:5]]))
    micro = tissue_micro_dice([(pred, truth), (truth, truth)])
    assert micro["tissue_stroma"] == pytest.approx((6 + 1e-5) / (7 + 1e-5), abs=1e-12)
    assert micro["tissue_tumor"] == micro["tissue_epidermis"] == 0
    with pytest.raises(ValueError, match="one shape"):
        tissue_dice(pred, truth.T)
