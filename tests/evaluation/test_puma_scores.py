import json

import numpy as np
import pytest
import tifffile

from coseg_bundle.cli import main
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.evaluation.puma_scores import check_scores, score_folders, write_scores

SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4]]


def challenge(path, *names):
    """A challenge file: squares at 0, 100, 200, ..."""
    path.parent.mkdir(parents=True, exist_ok=True)
    polygons = [
        {"name": name, "path_points": [[x + 100 * number, y, 0.5] for x, y in SQUARE]}
        for number, name in enumerate(names)
    ]
    path.write_text(json.dumps({"type": "Multiple polygons", "polygons": polygons}))


def geojson(path, *names, flat=0):
    """The same as GeoJSON, and `flat` polygons without area."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rings = [[[x + 100 * number, y] for x, y in (*SQUARE, SQUARE[0])] for number in range(len(names))]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "properties": {"classification": {"name": name}},
        }
        for name, ring in zip((*names, *["nuclei_tumor"] * flat), (*rings, *[[[0, 0]] * 4] * flat), strict=True)
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def tissue(path, *ids):
    """A map with a stripe of each id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.repeat(np.array(ids, np.uint8), 8)[:, None].repeat(8 * len(ids), 1))


def run(folder, *more):
    common = ["puma", "score", "--predictions", str(folder / "pred"), "--truth", str(folder / "truth")]
    return main([*common, *(more or ("-o", str(folder / "scores.json")))])


def scores_in(folder):
    return json.loads((folder / "scores.json").read_text())


@pytest.mark.parametrize("suffix", [".json", ".geojson"])
@pytest.mark.parametrize(("pred", "truth"), [(challenge, geojson), (geojson, challenge)])
def test_content_tells_challenge_files_from_geojson(tmp_path, pred, truth, suffix):
    """GeoJSON that was called .json had no nuclei: 0.0000, exit code 0."""
    pred(tmp_path / "pred" / f"a{suffix}", "nuclei_tumor", "nuclei_tumor")
    truth(tmp_path / "truth" / "a_nuclei.json", "nuclei_tumor")
    assert run(tmp_path) == 0
    scores = scores_in(tmp_path)
    assert scores["nuclei"]["files"]["a"]["nuclei_tumor"] == pytest.approx({"tp": 1, "fp": 1, "fn": 0, "f1": 2 / 3})
    assert scores["notes"] == []


@pytest.mark.parametrize("content", ["{}", '{"polygons": {}}', "null", '{"nuc": {}}'])
@pytest.mark.parametrize("side", ["pred", "truth"])
def test_what_holds_no_polygons_is_not_scored(tmp_path, capsys, side, content):
    for name in ("pred", "truth"):
        for stem in "ab":
            challenge(tmp_path / name / f"{stem}.json", "nuclei_tumor")
    (tmp_path / side / "a.json").write_text(content)
    assert run(tmp_path) == 1
    assert "a.json: expected a challenge file of polygons, got something else" in capsys.readouterr().out
    assert list(scores_in(tmp_path)["nuclei"]["files"]) == ["b"]


def test_an_empty_list_is_no_nuclei(tmp_path):
    """A region in which nothing was found dropped out of the mean."""
    for name in ("pred", "truth"):
        for stem in "ab":
            challenge(tmp_path / name / f"{stem}.json", "nuclei_tumor")
    (tmp_path / "pred" / "a.json").write_text("[]")
    assert run(tmp_path) == 0
    scores = scores_in(tmp_path)["nuclei"]["files"]
    assert [scores[stem]["nuclei_tumor"]["f1"] for stem in "ab"] == [0, 1]


@pytest.mark.parametrize("side", ["pred", "truth"])
def test_a_file_with_broken_features_is_not_scored(tmp_path, capsys, side):
    """They were left out without a word."""
    for name in ("pred", "truth"):
        for stem in "ab":
            geojson(tmp_path / name / f"{stem}.geojson", "nuclei_tumor")
    geojson(tmp_path / side / "a.geojson", "nuclei_tumor", flat=3)
    assert run(tmp_path) == 1
    assert "a.geojson: expected a GeoJSON FeatureCollection of polygons, got 3 features that are none" in (
        capsys.readouterr().out
    )
    assert list(scores_in(tmp_path)["nuclei"]["files"]) == ["b"]


def test_what_is_no_polygon_is_said(tmp_path):
    challenge(tmp_path / "pred" / "a.json", "nuclei_tumor")
    path = tmp_path / "truth" / "a.geojson"
    geojson(path, "nuclei_tumor")
    content = json.loads(path.read_text())
    content["features"].append({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}})
    path.write_text(json.dumps(content))
    assert score_folders(tmp_path / "pred", tmp_path / "truth")["notes"] == [f"{path}: left out: 1 Point"]


def test_names_that_no_track_has_are_said(tmp_path, capsys):
    """They count in the evaluator's mean, and nobody was told."""
    challenge(tmp_path / "truth" / "a.json", "nuclei_tumor", "nuclei_stroma")
    challenge(tmp_path / "pred" / "a.json", "nuclei_tumor", "spindle", "spindle", "")
    assert run(tmp_path) == 0
    assert scores_in(tmp_path)["nuclei"]["macro_f1"] == pytest.approx(1 / 4)
    out = capsys.readouterr().out
    assert "predictions: nuclei of no class of PUMA's track 2 (nuclei_tumor, " in out
    assert "): 1 of '', 2 of 'spindle'; each name counts as a class in the mean\n" in out
    assert "truth: nuclei of no class" not in out


@pytest.mark.parametrize(
    ("track", "pred", "truth", "said"),
    [
        (None, "nuclei_other", "nuclei_lymphocyte", []),  # track 1's
        (None, "nuclei_stroma", "nuclei_plasma_cell", []),  # track 2's
        (None, "nuclei_other", "nuclei_stroma", [("predictions", 2)]),  # of both
        (1, "nuclei_other", "nuclei_stroma", []),  # merged
        (1, "nuclei_other", "cat", [("truth", 1)]),
        (2, "nuclei_other", "nuclei_stroma", [("predictions", 2)]),
        (2, "nuclei_other", "nuclei_tumor", [("predictions", 2)]),  # they fit track 1, and 2 was given
    ],
)
def test_names_of_a_track(tmp_path, track, pred, truth, said):
    challenge(tmp_path / "pred" / "a.json", "nuclei_tumor", pred)
    challenge(tmp_path / "truth" / "a.json", "nuclei_tumor", truth)
    notes = score_folders(tmp_path / "pred", tmp_path / "truth", track)["notes"]
    assert len(notes) == len(said)
    for note, (side, number) in zip(notes, said, strict=True):
        assert note.startswith(f"{side}: nuclei of no class of PUMA's track {number} (")


def test_ids_of_no_tissue_are_refused(tmp_path, capsys):
    """A mask of 0, 128 and 255, and maps of nuclei, had a tissue Dice."""
    tissue(tmp_path / "truth" / "a.tif", 0, 1, 3, 255)
    tissue(tmp_path / "pred" / "a.tif", 0, 1, 3, 0)
    for stem, pred, truth in (
        ("mask", (0, 128), (0, 1)),
        ("nuclei", (1, 2), (3, 77)),
        ("unlabelled", (1, 255), (0, 1)),
        ("white", (0, 1), (0, 255)),
    ):
        tissue(tmp_path / "truth" / f"{stem}.tif", *truth)
        tissue(tmp_path / "pred" / f"{stem}.tif", *pred)
    assert run(tmp_path) == 1
    scores, out = scores_in(tmp_path), capsys.readouterr().out
    assert scores["tissue"]["average_dice"] == 1  # what is unlabelled is of no class
    assert list(scores["tissue"]["files"]) == ["a"]
    for name, ids in (
        ("pred/mask", "0, 128"),
        ("truth/nuclei", "3, 77"),
        ("pred/unlabelled", "1, 255"),
        ("truth/white", "0, 255"),
    ):
        assert (
            f"{name}.tif: expected ids of PUMA's tissue classes, 0 to 5 (in a truth with some of 1 to 5 also 255, "
            in out
        )
        assert f"unlabelled), got {ids}; give maps of tissue." in out


def test_outlines_of_tissue_and_maps_of_nuclei_are_left_to_the_other_task(tmp_path, capsys):
    """PUMA's own folder was refused, and tissue alone was scored as nuclei."""
    for side in ("pred", "truth"):
        geojson(tmp_path / side / "a_tissue.geojson", "tissue_tumor")
    with pytest.raises(
        ImageFileError, match=r"to score against\. .*left out: 1 outlines of tissue, which is scored by"
    ):
        score_folders(tmp_path / "pred", tmp_path / "truth")
    for side in ("pred", "truth"):
        geojson(tmp_path / side / "a_nuclei.geojson", "nuclei_tumor")
        tissue(tmp_path / side / "a_tissue.tif", 1, 2)
        tissue(tmp_path / side / "a_inst.tif", 7, 9)
    assert run(tmp_path) == 0
    out = capsys.readouterr().out
    for side in ("pred", "truth"):
        said = (
            f"{tmp_path / side}: left out: 1 outlines of tissue, which is scored by maps (`coseg puma prepare` paints"
        )
        assert f"{said} them) (first: a_tissue.geojson)" in out
        assert f"{tmp_path / side}: left out: 1 maps of nuclei, which are scored by JSON or GeoJSON" in out
    scores = scores_in(tmp_path)
    assert (scores["nuclei"]["macro_f1"], scores["tissue"]["average_dice"]) == (1, 1)


def test_two_files_for_one_place(tmp_path):
    for folder in ("x", "y"):
        challenge(tmp_path / "truth" / folder / "a.json", "nuclei_tumor")
    with pytest.raises(ImageFileError, match=r"are both the nuclei of a; give a folder with one of them\."):
        score_folders(tmp_path / "truth", tmp_path / "truth")


def test_scores_do_not_lie_among_what_is_scored(tmp_path, capsys):
    """A second run took them for a region, and -o could replace a truth."""
    challenge(tmp_path / "pred" / "a.json", "nuclei_tumor")
    challenge(tmp_path / "truth" / "deep" / "a.json", "nuclei_tumor")
    for output in ("pred/scores.json", "truth/deep/a.json", "truth/scores.json"):
        assert run(tmp_path, "-o", str(tmp_path / output)) == 1
        assert f"{output} would lie in" in capsys.readouterr().err
    assert len(list((tmp_path / "truth").rglob("*.json"))) == len(list((tmp_path / "pred").rglob("*.json"))) == 1


def test_scores_do_not_replace_another_file(tmp_path):
    path, folder = tmp_path / "new" / "scores.json", tmp_path / "truth"
    challenge(folder / "a.json", "nuclei_tumor")
    check_scores(path, folder)
    write_scores(score_folders(folder, folder), path)
    check_scores(path, folder)  # our own
    with pytest.raises(ValueError, match=r"would lie in .*, whose files are scored; give another"):
        check_scores(path, path.parent)
    for content in ("", "[]", '{"missing": [], "extra": [], "failed": [], "aggregations": {}}'):  # coseg evaluate's
        path.write_text(content)
        with pytest.raises(
            ValueError, match=r"scores\.json was not written by coseg puma score, which writes a file of"
        ):
            check_scores(path, folder)
    with pytest.raises(ValueError, match="was not written by coseg puma score"):
        check_scores(path.parent, folder)
