"""The commands of docs/how-to/train.md, on generated images and slides, cut to a few steps."""

import json
import os
import re
import shlex
import subprocess
import sys

import tifffile
from PIL import Image

from coseg_bundle.data.synthetic import synthetic_tissue, write_dataset
from coseg_bundle.networks.about import About
from coseg_bundle.networks.checkpoints import read_weights

TINY = [
    "max_epochs=1",
    "val_interval=1",
    "crop_size=64",
    "epoch_length=4",
    "batch_size=2",
    "num_workers=0",
    "device=cpu",
]
MORE = {"train": TINY, "evaluate": ["--device", "cpu"]}


def rectangle(name, x, y, width, height):
    ring = [[x, y], [x + width, y], [x + width, y + height], [x, y + height], [x, y]]
    properties = {"objectType": "annotation", "classification": {"name": name, "color": [200, 0, 0]}}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def annotate_slides(folder):
    """Three slides at 20x with a region each, its tissue annotated; in the first one two nuclei too."""
    folder.mkdir()
    for number, name in enumerate(("a", "b", "c")):
        rgb = synthetic_tissue(128, number).rgb
        options = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER", "photometric": "rgb", "tile": (64, 64)}
        tifffile.imwrite(folder / f"{name}.tif", rgb, **options)
        drawn = [rectangle("Region*", 16, 16, 80, 80), rectangle("Tumor", 20, 20, 40, 30)]
        drawn.append(rectangle("Stroma", 20, 60, 40, 30))
        (folder / f"{name}.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": drawn}))


def test_train_on_your_own_classes(bundle_root, tmp_path):
    page = (bundle_root / "docs" / "how-to" / "train.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", page, flags=re.M | re.S)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    commands = [
        words[1:] for words in commands if words[0] == "coseg" and words[1] in ("datalist", "train", "evaluate")
    ]
    assert [words[0] for words in commands] == [
        *("datalist", "train", "train", "evaluate"),
        *("datalist", "train", "evaluate"),
    ]
    write_dataset(tmp_path / "data", count=4, size=96, seed=3)
    (tmp_path / "data" / "datalist.json").unlink()
    annotate_slides(tmp_path / "slides")
    cut = {text.partition("=")[0] for text in TINY}
    for words in commands:
        words = [word for word in words if word.partition("=")[0] not in cut]
        subprocess.run(
            [sys.executable, "-m", "coseg_bundle.cli", *words, *MORE.get(words[0], [])],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=280,
        )
    classes = {"mine": ("background", "gland"), "short": ("background", "gland")}
    for name, tissue in {**classes, "tissue": ("background", "Tumor", "Stroma")}.items():
        about = About.from_tensor(read_weights(tmp_path / "runs" / name / "model.pt")[1])
        assert about.tissue_classes == tissue
        nuclei = ("background", "nucleus") if name == "tissue" else ("background", "round", "spindle")
        assert (about.nuclei_classes, about.untrained) == (nuclei, ())
        assert (tmp_path / "runs" / name / "progress.html").is_file()
    tiles = json.loads((tmp_path / "tiles" / "datalist.json").read_text())
    assert [len(tiles[section]) for section in ("training", "validation")] == [2, 1]
    with Image.open(tmp_path / "tiles" / tiles["training"][0]["image"]) as tile:
        assert tile.size == (160, 160)  # 80 px at 0.5 microns
    for report, scores in (
        ("report", {"nuclei_pq_round", "tissue_dice_gland"}),
        ("runs/tissue/report", {"tissue_dice_Tumor"}),
    ):
        assert scores <= json.loads((tmp_path / report / "report.json").read_text())["mean"].keys()
