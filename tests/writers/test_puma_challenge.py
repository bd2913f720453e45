import json

import numpy as np
import pytest
import tifffile

from coseg_bundle.classes import NUCLEI_PRESETS
from coseg_bundle.cli import main
from coseg_bundle.evaluation.puma_scores import score_folders
from coseg_bundle.postprocessing.instances import instance_table
from coseg_bundle.writers.puma_challenge import NUCLEI_FILE, TISSUE_FOLDER, check_submission, write_nuclei, write_tissue


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
