"""Every notebook of docs/notebooks runs, on small inputs; those that need no PyTorch run without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
TRAINING = ["max_epochs=1", "val_interval=1", "crop_size=64", "epoch_length=2", "batch_size=2", "num_workers=0"]
SMALL = {
    "one_image": "SIDE = 160",
    "slide_to_table": "SIDE, REPEATED = 256, 2",
    "correct_and_retrain": f"SIDE, IMAGES, SETTINGS = 96, 4, {[*TRAINING, 'device=cpu']}",
}


def code_of(notebook: Path) -> str:
    """Its code, with small inputs in place of its parameters."""
    cells = [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    parts = []
    for cell in cells:
        is_set = "parameters" in cell["metadata"].get("tags", ())
        parts.append(SMALL[notebook.stem] if is_set else "".join(cell["source"]))
    assert SMALL[notebook.stem] in parts
    return "\n".join(parts)


def run(code: str, folder: Path) -> str:
    paths = [str(ROOT / "tests" / "helpers"), str(ROOT), os.environ["PYTHONPATH"]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_notebooks_are_known():
    assert {notebook.stem for notebook in NOTEBOOKS} == SMALL.keys()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_nothing_of_a_run_is_kept(notebook):
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    for cell in content["cells"]:
        assert cell["id"]
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_one_image(tmp_path):
    out = run("import hidden; hidden.hide()\n" + code_of(ROOT / "docs" / "notebooks" / "one_image.ipynb"), tmp_path)
    assert "nuclei, median" in out
    assert (tmp_path / "out" / "nuclei.geojson").is_file()


def test_a_slide_to_a_table_by_region(tmp_path):
    out = run(code_of(ROOT / "docs" / "notebooks" / "slide_to_table.ipynb"), tmp_path)
    table = (tmp_path / "regions.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in table] == ["region", "left", "right"]
    counts = [int(row.split(",")[2]) for row in table[1:]]
    assert sum(counts) == int(out.split()[0]) > 0


@pytest.mark.slow
def test_correct_and_retrain(tmp_path):
    run(code_of(ROOT / "docs" / "notebooks" / "correct_and_retrain.ipynb"), tmp_path)
    assert (tmp_path / "runs" / "mine" / "model.pt").is_file()
