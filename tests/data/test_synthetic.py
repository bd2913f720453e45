import json

import numpy as np
import pytest
from full_disk import file_size_limit
from PIL import Image
from scipy import ndimage

from coseg_bundle.atomic import NoRoomError
from coseg_bundle.data import synthetic
from coseg_bundle.data.datalist import DatalistError, load_datalist
from coseg_bundle.data.synthetic import ambiguous_tissue, synthetic_tissue, write_dataset


def test_labels_agree_with_each_other():
    tissue = synthetic_tissue(128, seed=5)
    nuclei = tissue.instance_map > 0
    assert np.array_equal(nuclei, tissue.type_map > 0)
    assert set(np.unique(tissue.instance_map)) == set(range(tissue.instance_map.max() + 1))
    for i in range(1, tissue.instance_map.max() + 1):
        assert len(np.unique(tissue.type_map[tissue.instance_map == i])) == 1


def test_nuclei_tell_about_regions():
    round_ones = spindles = 0
    for seed in range(3):
        tissue = synthetic_tissue(128, seed)
        gland = tissue.tissue_map == 1
        round_ones += (tissue.type_map[gland] == 1).mean()
        spindles += (tissue.type_map[gland] == 2).mean()
    assert round_ones > 5 * spindles


def test_nuclei_are_darker():
    tissue = synthetic_tissue(128, seed=0)
    grey = tissue.rgb.mean(-1)
    inside = ndimage.binary_erosion(tissue.instance_map > 0)
    assert grey[inside].mean() < grey[tissue.instance_map == 0].mean() - 20


def test_seed_decides():
    assert np.array_equal(synthetic_tissue(64, 1).rgb, synthetic_tissue(64, 1).rgb)
    assert not np.array_equal(synthetic_tissue(64, 1).rgb, synthetic_tissue(64, 2).rgb)


def test_too_small():
    with pytest.raises(ValueError, match="at least 16"):
        synthetic_tissue(8)


def test_dataset_is_a_datalist(tmp_path):
    path = write_dataset(tmp_path, count=4, size=32)
    assert len(load_datalist(path, "training")) == 3
    assert len(load_datalist(path, "validation")) == 1
    assert json.loads(path.read_text())["training"][0]["image"] == "images/000.png"


def test_without_glands_there_is_stroma_only():
    tissue = synthetic_tissue(128, seed=1, glands=False)
    assert tissue.tissue_map.max() == 0
    assert set(np.unique(tissue.type_map)) == {0, 2}


def test_ambiguous_tissue_holds_specks_that_are_no_nuclei():
    plain, ambiguous = synthetic_tissue(128, seed=1), ambiguous_tissue(128, seed=1)
    assert (plain.instance_map == ambiguous.instance_map).all()
    outside = ambiguous.instance_map == 0
    assert (ambiguous.rgb[outside].sum(axis=1) < 460).mean() > 2 * (plain.rgb[outside].sum(axis=1) < 460).mean()


def test_an_ambiguous_dataset(tmp_path):
    write_dataset(tmp_path, count=2, size=64, seed=5, ambiguous=True)
    written = np.asarray(Image.open(tmp_path / "images" / "001.png"))
    assert np.array_equal(written, ambiguous_tissue(64, seed=6).rgb)


def test_images_of_others_are_kept(tmp_path):
    write_dataset(tmp_path / "ours", count=2, size=32)
    write_dataset(tmp_path / "ours", count=2, size=32)
    own = tmp_path / "own" / "images" / "000.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"theirs")
    with pytest.raises(DatalistError, match=r"one with generated images, got 1 others \(first: .*000.png\)"):
        write_dataset(tmp_path / "own", count=2, size=32)
    (tmp_path / "own" / "datalist.json").write_text('{"training": [{"image": "x.png"}]}')
    own.unlink()
    with pytest.raises(DatalistError, match=r"got 1 others \(first: .*x.png\)"):
        write_dataset(tmp_path / "own", count=2, size=32)


def test_writing_that_was_interrupted_begins_anew(tmp_path, monkeypatch):
    real = synthetic.synthetic_tissue

    def interrupted(size, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return real(size, seed)

    monkeypatch.setattr(synthetic, "synthetic_tissue", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path, count=2, size=32)
    monkeypatch.undo()
    assert len(load_datalist(write_dataset(tmp_path, count=2, size=32), "training")) == 1


def test_a_size_that_is_too_small_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="at least 16 pixels, got 8"):
        write_dataset(tmp_path / "new", size=8)
    assert not (tmp_path / "new").exists()


def test_a_full_disk_is_said_with_the_image(tmp_path):
    with file_size_limit(4000), pytest.raises(NoRoomError, match=r"000\.png: the results cannot be written there"):
        write_dataset(tmp_path, 1, 256)
    assert [path.name for path in tmp_path.rglob("*.*")] == ["datalist.json"]  # no half image
