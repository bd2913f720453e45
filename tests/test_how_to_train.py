"""The commands of docs/how-to/train.md, on generated images, cut to a few steps."""

import os
import re
import shlex
import subprocess
import sys

from coseg_bundle.data.synthetic import write_dataset
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


def test_train_on_your_own_classes(bundle_root, tmp_path):
    page = (bundle_root / "docs" / "how-to" / "train.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", page, flags=re.M | re.S)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    commands = [words[1:] for words in commands if words[:2] in (["coseg", "datalist"], ["coseg", "train"])]
    assert [words[0] for words in commands] == ["datalist", "train", "train"]
    write_dataset(tmp_path / "data", count=4, size=96, seed=3)
    (tmp_path / "data" / "datalist.json").unlink()
    for words in commands:
        subprocess.run(
            [sys.executable, "-m", "coseg_bundle.cli", *words, *(TINY if words[0] == "train" else [])],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            check=True,
            timeout=280,
        )
    for name in ("mine", "short"):
        about = About.from_tensor(read_weights(tmp_path / "runs" / name / "model.pt")[1])
        assert about.nuclei_classes == ("background", "round", "spindle")
        assert about.tissue_classes == ("background", "gland")
