import numpy as np
import pytest
from PIL import Image


def item(name, stem):
    return {"image": f"/data/{name}/{stem}.png", "dataset": name}


@pytest.mark.parametrize(
    ("name", "stem", "kept"),
    [
        ("monuseg", "train_TCGA-21-5784-01Z-00-DX1", True),
        ("monuseg", "train_TCGA-21-5786-01Z-00-DX1", False),
        ("tnbc", "tnbc_05_1", True),
        ("tnbc", "tnbc_05_4", True),
        ("tnbc", "tnbc_06_5", False),
        ("consep", "train_3", True),
        ("consep", "train_23", True),
        ("consep", "train_2", False),
        ("glas", "train_5", True),
        ("glas", "train_50", True),
        ("glas", "train_51", False),
        ("puma", "train_5", False),
    ],
)
def test_patients_are_kept_whole(script, name, stem, kept):
    assert script.is_kept(item(name, stem)) is kept


def test_no_patient_of_tnbc_is_on_both_sides(script):
    stems = [f"tnbc_{patient:02}_{tile}" for patient in range(1, 12) for tile in range(1, 8)]
    sides = {(stem[5:7], script.is_kept(item("tnbc", stem))) for stem in stems}
    assert len(sides) == 11


def test_wide_bright_areas_outside_of_glands_are_empty(script, tmp_path):
    rgb = np.full((400, 400, 3), (200, 120, 170), np.uint8)
    rgb[:, 250:] = 240  # 150 x 400 px of glass, 23,000 um2
    rgb[100:110, 20:30] = 240  # a crack
    Image.fromarray(rgb).save(tmp_path / "train_1.png")
    gland = np.zeros((400, 400), np.uint8)
    gland[300:, 200:300] = 1
    Image.fromarray(gland).save(tmp_path / "tissue.png")
    label = script.derived("glas", "train_1", tmp_path / "train_1.png", str(tmp_path / "tissue.png"))
    assert (label[320:, 210:290] == script.GLAND).all()  # what is labelled gland stays
    assert (label[20:280, 270:390] == script.EMPTY).all()
    assert (label[:, :200] == script.OTHER).all()
    assert script.derived("consep", "train_13", tmp_path / "train_1.png", None) is None  # nobody looked for glands


def test_fat_is_no_glass_and_black_ink_is_empty(script, tmp_path):
    rgb = np.full((300, 300, 3), 240, np.uint8)
    rgb[:, :150] = (200, 120, 170)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    assert (script.derived("consep", "train_25", tmp_path / "a.png", None)[20:280, 180:280] == script.UNLABELLED).all()
    rgb[100:200, 20:130] = 20
    Image.fromarray(rgb).save(tmp_path / "a.png")
    label = script.derived("consep", "train_2", tmp_path / "a.png", None)
    assert (label[110:190, 30:120] == script.EMPTY).all()
    assert (label[:80, :120] == script.OTHER).all()


def test_nuclei_have_the_classes_of_their_points(script, tmp_path):
    instances = np.zeros((20, 30), np.uint8)
    instances[2:6, 2:6], instances[10:15, 10:15], instances[2:6, 20:25] = 1, 2, 3
    Image.fromarray(instances).save(tmp_path / "train_1.png")
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "train_1.csv").write_text("3,4,0\n12,11,2\n28,18,1\n")  # x, y, class; the last beside all
    given = {"image": "train_1.png", "instances": str(tmp_path / "train_1.png")}
    made = script.of_points(given, tmp_path, tmp_path / "out")
    types = script.read_label(made["types"])
    assert [int(types[y, x]) for y, x in ((3, 3), (12, 12), (3, 22), (18, 28))] == [1, 2, script.UNLABELLED, 0]
    assert made["dataset"] == "points"


def test_ducts_are_glands_and_what_may_be_one_is_unlabelled(script, tmp_path):
    path = tmp_path / "tnbc_07_3.png"
    Image.fromarray(np.full((512, 512, 3), (200, 120, 170), np.uint8)).save(path)
    label = script.derived("tnbc", "tnbc_07_3", path, None)
    assert label[325, 470] == script.GLAND
    assert label[20, 20] == script.OTHER
    assert script.derived("tnbc", "tnbc_01_4", path, None) is None
