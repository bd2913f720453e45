from pathlib import Path

import numpy as np
import tifffile


def test_both_recipes_take_as_many_steps(script):
    runs = script.commands(Path("d.json"), Path("out"), Path("w.pt"), ["1=a", "2=b"], [0, 7], 200, 4)
    assert list(runs) == [("quick", 0), ("full", 0), ("quick", 7), ("full", 7)]
    for (recipe, seed), command in runs.items():
        assert ("--profile" in command) == (recipe == "quick")
        assert command[command.index("--start-weights") + 1] == "w.pt"
        assert {"epoch_length=200", "max_epochs=4", f"seed={seed}"} <= set(command)
        assert command[command.index("--output") + 1] == f"out/{recipe}_{seed}"


def test_one_recipe(script):
    runs = script.commands(Path("d.json"), Path("out"), Path("w.pt"), ["1=a"], [0], 200, 4, ["quick"])
    assert list(runs) == [("quick", 0)]


def test_the_middle_of_an_image(script, tmp_path):
    labels = np.arange(36).reshape(6, 6)
    tifffile.imwrite(tmp_path / "n.tif", labels.astype(np.uint16))
    tifffile.imwrite(tmp_path / "a.tif", np.repeat(labels[..., None], 3, axis=2).astype(np.uint8))
    item = {"image": str(tmp_path / "a.tif"), "instances": str(tmp_path / "n.tif"), "mpp": 0.5}
    [cut] = script.middles([item], 2, tmp_path / "cut")
    assert cut["mpp"] == 0.5
    assert tifffile.imread(cut["instances"]).tolist() == [[14, 15], [20, 21]]
    assert tifffile.imread(cut["image"])[..., 0].tolist() == [[14, 15], [20, 21]]


def test_the_table_by_hand(script):
    pooled = {"nuclei_f1": 0.9, "nuclei_f1_a": 0.5, "nuclei_f1_b": None}
    rows = [{"step": 50, "cpu_seconds": 90.0, "mean": {"nuclei_pq": 0.25}, "pooled": pooled}]
    lines = script.table({("quick", 0): rows}, 0.125).splitlines()
    assert lines[0] == "The weights that they start from: nuclei PQ 0.125."
    assert lines[-1] == "| quick | 0 | 50 | 1.5 | 0.250 | 0.250 | a 0.50, b 0.00 |"
