import json
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import measure

from coseg_bundle.classes import NUCLEI_PRESETS
from coseg_bundle.cli import main
from coseg_bundle.data.images import ImageFileError
from coseg_bundle.data.synthetic import synthetic_tissue
from coseg_bundle.evaluation.counts import count_nuclei
from coseg_bundle.evaluation.puma_scores import score_folders
from coseg_bundle.metrics.puma import Nucleus, aggregate_nuclei, score_nuclei, tissue_dice
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.writers.puma_challenge import (
    NUCLEI_FILE,
    TISSUE_FOLDER,
    check_submission,
    check_without_results,
    write_nuclei,
    write_tissue,
)


@pytest.fixture
def submission(tmp_path):
    instances = np.zeros((1024, 1024), np.int32)
    instances[10:20, 10:20], instances[10:20, 20:32], instances[500:504, 900:909] = 1, 2, 3
    type_prob = np.full((4, 1024, 1024), 0.1, np.float32)
    type_prob[2] = 0.7
    type_prob[1, 500:504] = 0.9
    table = instance_table(instances, nuclei_prob=np.full(instances.shape, 0.9, np.float32), type_prob=type_prob)
    folder = tmp_path / "output"
    (folder / TISSUE_FOLDER).mkdir(parents=True)
    write_nuclei(folder / NUCLEI_FILE[1], table, NUCLEI_PRESETS["puma_track1"])
    tissue = np.zeros((1024, 1024), np.uint8)
    tissue[:300] = 3
    write_tissue(folder / TISSUE_FOLDER / "a.tif", tissue)
    return folder


def test_what_we_write_is_valid_and_reads_back(submission, capsys):
    assert list(check_submission(submission)) == []
    assert main(["puma", "validate", str(submission)]) == 0
    content = json.loads((submission / NUCLEI_FILE[1]).read_text())
    assert [p["name"] for p in content["polygons"]] == ["nuclei_lymphocyte", "nuclei_lymphocyte", "nuclei_tumor"]
    first = sorted(content["polygons"][0]["path_points"])
    assert first == [[10, 10, 0.5], [10, 20, 0.5], [20, 10, 0.5], [20, 20, 0.5]]
    assert content["polygons"][2]["seed_point"] == [904.5, 502, 0.5]
    with tifffile.TiffFile(submission / TISSUE_FOLDER / "a.tif") as file:
        tags = {tag.name: tag.value for tag in file.pages[0].tags.values()}
        assert (tags["XResolution"], tags["MinSampleValue"], tags["MaxSampleValue"]) == ((300, 1), 1, 3)
        assert np.unique(file.asarray()).tolist() == [0, 3]


def test_a_folder_is_of_one_region(submission, tmp_path):
    """Nuclei of the other track count, and so does tissue alone."""
    with pytest.raises(
        ValueError, match=r"holds results of a region already \(melanoma-3-class-nuclei-.*another --output"
    ):
        check_without_results(submission)
    (submission / NUCLEI_FILE[1]).rename(submission / NUCLEI_FILE[2])
    with pytest.raises(ValueError, match=r"melanoma-10-class-nuclei-segmentation.json"):
        check_without_results(submission)
    (submission / NUCLEI_FILE[2]).unlink()
    with pytest.raises(ValueError, match=r"\(images/melanoma-tissue-mask-segmentation/a.tif\)"):
        check_without_results(submission)
    (submission / TISSUE_FOLDER / "a.tif").rename(submission / TISSUE_FOLDER / ".7.a.tif")  # of a run that was killed
    check_without_results(submission)
    check_without_results(tmp_path / "new")


def read_challenge(folder: Path, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A reader of the documented format that shares no code with ours: instance, type and tissue map.

    A pixel belongs to the polygon that an odd number of whose edges cross the row of its centre on the left or there.
    """
    (mask,) = (folder / "images" / "melanoma-tissue-mask-segmentation").iterdir()
    tissue = np.array(Image.open(mask))
    instances, types = np.zeros(tissue.shape, int), np.zeros(tissue.shape, int)
    (file,) = folder.glob("melanoma-*-class-nuclei-segmentation.json")
    for number, polygon in enumerate(json.loads(file.read_text())["polygons"], start=1):
        ring = np.array([point[:2] for point in polygon["path_points"]])
        x_min, y_min = np.floor(ring.min(axis=0)).astype(int)
        x_max, y_max = np.ceil(ring.max(axis=0)).astype(int)
        yy, xx = np.mgrid[y_min:y_max, x_min:x_max] + 0.5
        inside = np.zeros(xx.shape, bool)
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y0 != y1:
                inside ^= (min(y0, y1) <= yy) & (yy < max(y0, y1)) & (x0 + (yy - y0) * (x1 - x0) / (y1 - y0) <= xx)
        instances[y_min:y_max, x_min:x_max][inside] = number
        types[y_min:y_max, x_min:x_max][inside] = names.index(polygon["name"])
    return instances, types, tissue


@pytest.fixture(scope="module")
def regions():
    """A prediction and a truth of 1024 x 1024: generated tissue, and the same moved, with some nuclei missing."""
    tiles = [synthetic_tissue(256, seed) for seed in range(4)]
    instances, types, tissue = (
        np.zeros((1024, 1024), int),
        np.zeros((1024, 1024), int),
        np.zeros((1024, 1024), np.uint8),
    )
    for number, tile in enumerate(tiles):
        window = slice(256 * number, 256 * number + 256), slice(128, 384)
        parts = measure.label(tile.instance_map, connectivity=1)  # a nucleus is one polygon
        instances[window] = np.where(parts > 0, parts + instances.max(), 0)
        types[window], tissue[window] = tile.type_map, 3 * tile.tissue_map + 1
    types[instances % 5 == 1] = 3
    types = np.where(instances > 0, types, 0)
    gone = (instances % 7 == 0) | np.isin(instances, instances[-1])  # those on the last row would come in two
    moved = np.roll(np.where(gone, 0, instances), (1, 2), (0, 1))
    return (instances, types, tissue), (
        moved,
        np.where(moved > 0, np.roll(types, (1, 2), (0, 1)), 0),
        np.roll(tissue, 9, 0),
    )


@pytest.mark.parametrize("track", [1, 2])
def test_an_independent_reader_gives_the_same_instances_and_scores(regions, track, tmp_path):
    classes = NUCLEI_PRESETS[f"puma_track{track}"]
    read = []
    for name, (instances, types, tissue) in zip(("pred", "truth"), regions, strict=True):
        type_prob = (types[None] == np.arange(len(classes))[:, None, None]).astype(np.float32)
        table = instance_table(instances, nuclei_prob=np.ones(types.shape, np.float32), type_prob=type_prob)
        (tmp_path / name / TISSUE_FOLDER).mkdir(parents=True)
        write_nuclei(tmp_path / name / NUCLEI_FILE[track], table, classes)
        write_tissue(tmp_path / name / TISSUE_FOLDER / "region.tif", tissue)
        assert list(check_submission(tmp_path / name)) == []
        read.append(read_challenge(tmp_path / name, classes.names))
        back, back_types, back_tissue = read[-1]
        assert len(table) > 300
        assert np.array_equal(table.instance_id[back - 1] * (back > 0), instances)
        assert np.array_equal(back_types, types)
        assert np.array_equal(back_tissue, tissue)
    (pred, truth), names = regions, classes.names
    from_maps = count_nuclei(pred[0], truth[0], pred[1], truth[1], names).scores()
    from_files = count_nuclei(read[0][0], read[1][0], read[0][1], read[1][1], names).scores()
    assert from_files == pytest.approx(from_maps, abs=1e-12, nan_ok=True)
    assert 0 < from_maps["nuclei_pq"] < 1
    scores = score_folders(tmp_path / "pred", tmp_path / "truth")
    assert scores["tissue"]["average_dice"] == pytest.approx(tissue_dice(pred[2], truth[2])["average_dice"], abs=1e-12)
    of_maps = aggregate_nuclei([score_nuclei(*(nuclei_of(*maps[:2], names) for maps in (pred, truth)))])
    assert scores["nuclei"]["f1"] == pytest.approx(of_maps.f1, abs=1e-12)


def nuclei_of(instances: np.ndarray, types: np.ndarray, names: tuple[str, ...]) -> list[Nucleus]:
    """Nuclei of maps: a nucleus lies where the mean of its outline's points is."""
    table = instance_table(instances)
    at = [types[instances == number].max() for number in table.instance_id]
    return [
        Nucleus(names[kind], tuple(ring.mean(axis=0).tolist()))
        for kind, ring in zip(at, table.contours_xy, strict=True)
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "nuclei_apoptosis"}, "unknown class 'nuclei_apoptosis'"),
        ({"path_points": [[0, 0, 0.5]]}, "at least 3 path_points"),
        ({"score": None}, "expected a score from 0 to 1"),
        ({"seed_point": [0, 0]}, "finite numbers"),
    ],
)
def test_faults_of_polygons(submission, change, words):
    path = submission / NUCLEI_FILE[1]
    content = json.loads(path.read_text())
    content["polygons"][1].update(change)
    path.write_text(json.dumps(content))
    (fault,) = check_submission(submission)
    assert "polygon 1" in fault
    assert words in fault


def test_faults_of_folders(submission, tmp_path, capsys):
    tifffile.imwrite(submission / TISSUE_FOLDER / "a.tif", np.full((10, 10), 9, np.uint8))
    faults = " ".join(check_submission(submission))
    assert "class ids 0 to 5" in faults
    assert "expected 1024 x 1024 pixels" in faults
    assert "XResolution" in faults
    assert main(["puma", "validate", str(tmp_path / "nothing")]) == 1
    assert "2 faults" in capsys.readouterr().out


JSONS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-9, 9), st.just(10**400), st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=4,
)
POINTS = st.lists(st.one_of(st.lists(st.integers(0, 9), min_size=2, max_size=3), JSONS), max_size=4)
POLYGONS = st.one_of(
    JSONS,
    st.fixed_dictionaries(
        {"name": st.one_of(st.just("a"), JSONS), "path_points": st.one_of(POINTS, JSONS), "score": JSONS}
    ),
)


@given(content=st.one_of(JSONS, st.builds(lambda polygons: {"polygons": polygons}, st.lists(POLYGONS, max_size=3))))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_lies_in_a_file_is_scored_or_one_sentence(content, tmp_path):
    square = [[0, 0, 0.5], [4, 0, 0.5], [4, 4, 0.5]]
    for name, data in (("truth", {"polygons": [{"name": "a", "path_points": square}]}), ("pred", content)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "x.json").write_text(json.dumps(data))
    try:
        scores = score_folders(tmp_path / "pred", tmp_path / "truth")
    except ImageFileError as error:
        fault = str(error)
    else:
        fault = "" if 0 <= scores["nuclei"]["macro_f1"] <= 1 else "no score"
    assert not fault or re.search(r"x\.json: expected a (challenge file|GeoJSON FeatureCollection) of polygons", fault)


def test_score_of_itself_is_perfect_for_its_classes(submission, tmp_path, capsys):
    for side in ("pred", "truth"):
        (tmp_path / side).mkdir()
        (tmp_path / side / "a.json").write_bytes((submission / NUCLEI_FILE[1]).read_bytes())
        (tmp_path / side / "a.tif").write_bytes((submission / TISSUE_FOLDER / "a.tif").read_bytes())
    common = ["puma", "score", "--predictions", str(tmp_path / "pred"), "--truth", str(tmp_path / "truth")]
    assert main([*common, "--output", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["nuclei"]["macro_f1"] == 1
    assert scores["tissue"]["average_dice"] == 1
    (tmp_path / "pred" / "a.json").unlink()
    assert main([*common, "--output", str(tmp_path / "scores.json")]) == 1
    assert "missing prediction: nuclei: a" in capsys.readouterr().out
    assert score_folders(tmp_path / "pred", tmp_path / "truth")["nuclei"]["macro_f1"] == 0


def test_what_cannot_be_read_is_listed_and_the_rest_is_scored(submission, tmp_path, capsys):
    for side in ("pred", "truth"):
        (tmp_path / side).mkdir()
        for stem in ("a", "b"):
            (tmp_path / side / f"{stem}.json").write_bytes((submission / NUCLEI_FILE[1]).read_bytes())
            (tmp_path / side / f"{stem}.tif").write_bytes((submission / TISSUE_FOLDER / "a.tif").read_bytes())
    (tmp_path / "pred" / "b.json").write_text("[")
    (tmp_path / "truth" / "a.tif").write_bytes(b"II*\0")
    common = ["puma", "score", "--predictions", str(tmp_path / "pred"), "--truth", str(tmp_path / "truth")]
    assert main([*common, "--output", str(tmp_path / "scores.json")]) == 1
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert (list(scores["nuclei"]["files"]), list(scores["tissue"]["files"])) == (["a"], ["b"])
    assert (scores["nuclei"]["macro_f1"], scores["tissue"]["average_dice"], len(scores["failed"])) == (1, 1, 2)
    assert re.search(r"not scored: .*b\.json: expected a challenge file of polygons", capsys.readouterr().out)
    for path in (tmp_path / "truth").iterdir():
        path.write_bytes(b"[")
    with pytest.raises(ImageFileError, match=r"No file of .*truth can be scored. First: .*a\.json: expected"):
        score_folders(tmp_path / "pred", tmp_path / "truth")


def test_a_deep_file_is_a_fault_and_hidden_ones_are_not_seen(submission, capsys):
    (submission / "images" / "melanoma-tissue-mask-segmentation" / "._x.tif").write_bytes(b"\0\5")
    assert main(["puma", "validate", str(submission)]) == 0
    (path,) = submission.glob("*.json")
    path.write_text("[" * 100_000)
    assert main(["puma", "validate", str(submission)]) == 1
    assert "not valid JSON" in capsys.readouterr().out


def test_the_same_fault_of_many_polygons_is_one_sentence(submission):
    path = submission / NUCLEI_FILE[1]
    content = json.loads(path.read_text())
    for polygon in content["polygons"]:
        del polygon["score"]
    path.write_text(json.dumps(content))
    assert list(check_submission(submission)) == [
        f"{path}: polygon 0 and 2 more: expected a score from 0 to 1, got None."
    ]
