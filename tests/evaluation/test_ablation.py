import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from monai.bundle import ConfigParser

from coseg_bundle.cli import main
from coseg_bundle.commands.training.ablation import _LADDER, _RUNGS
from coseg_bundle.data.datalist import contents, load_datalist, write_datalist
from coseg_bundle.evaluation import ablation
from coseg_bundle.evaluation.ablation import (
    LADDER,
    RUNGS,
    Run,
    _Children,
    begin,
    check_settings,
    check_table,
    plan,
    score,
    table,
    write_table,
)
from coseg_bundle.networks.checkpoints import save_released


def report(folder, **scores):
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps({"per_image": {"a": scores}}))


def test_plan_is_ladder_after_ladder(tmp_path):
    runs = plan(tmp_path, tmp_path / "d.json", [3, 4])
    assert [run.seed for run in runs] == [3] * 4 + [4] * 4
    assert len({run.folder for run in runs}) == 8
    assert [run.rung for run in runs[:4]] == list(LADDER)
    assert {run.datalist for run in runs} == {tmp_path / "d.json"}
    with pytest.raises(ValueError, match="Unknown rungs"):
        plan(tmp_path, tmp_path / "d.json", [0], ["x"])


def test_table_by_hand(tmp_path):
    runs = [Run("baseline", seed, tmp_path / "d.json", tmp_path / str(seed)) for seed in range(3)]
    report(runs[0].folder, tissue_dice=0.8, nuclei_aji=0.5, tissue_hd=10.0)
    report(runs[1].folder, tissue_dice=0.9, nuclei_aji=0.5, tissue_hd=None)
    lines = table(runs).splitlines()
    assert lines[2] == "| baseline | 2 | 85.00 ± 7.07 | - | 10.00 | - | - | - | 50.00 ± 0.00 | - |"


def test_the_command_knows_the_rungs():
    assert list(LADDER) == list(_LADDER)
    assert list(RUNGS) == list(_RUNGS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--set", "max_epochs=3", "max_epochs=4"], "max_epochs is given twice, as 3 and as 4; leave one of them out."),
        (["--set", "max_epochs=3", "--set", "max_epochs=4"], "max_epochs is given twice"),
        (
            ["--set", "seed=5"],
            "--set has seed, which the ablation sets itself; leave it out: --seeds, --rungs, --datal",
        ),
        (["--set", "network_def::paradigm=joint"], "--set has network_def::paradigm, which the ablation sets itself"),
        (["--set", "max_epoch=3"], "Unknown setting 'max_epoch': did you mean max_epochs?"),
        (["--set", "max_epochs"], "Expected KEY=VALUE"),
    ],
)
def test_settings_that_would_be_others_than_were_meant(generated, bundle_root, tmp_path, capsys, given, words):
    """A misspelt one trained the whole ladder without it."""
    command = ["ablation", "--datalist", str(generated), "--output", str(tmp_path / "out"), "--bundle"]
    assert main([*command, str(bundle_root), *given]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rung", list(RUNGS))
def test_every_rung_is_a_network(rung, bundle_root):
    parser = ConfigParser()
    parser.read_config(bundle_root / "configs" / "train.yaml")
    parser.update(RUNGS[rung])
    network = parser.get_parsed_content("network_def")
    assert (network.rp_encoder is None) == (rung in ("baseline", "+ C"))
    assert (network.nuclei_image_encoder is None) == ("C" in rung)
    assert (network.prompting == "crossed") == ("D" in rung)


def test_another_setting_or_image_in_a_begun_folder_is_refused(tmp_path, bundle_root):
    datalist = tmp_path / "d.json"
    images = {"training": [{"image": str(tmp_path / "a.png")}], "validation": [{"image": str(tmp_path / "b.png")}]}
    write_datalist(datalist, images)
    runs = plan(tmp_path, datalist, [0], ["baseline"])
    settings = {"max_epochs": 20, "scale_range": (0.9, 1.1)}
    check_settings(runs, bundle_root, settings)
    begin(runs[0], bundle_root, settings)
    check_settings(runs, bundle_root, settings)
    write_datalist(tmp_path / "lists" / "e.json", images)
    elsewhere = tmp_path / "." / ".." / tmp_path.name  # the same in other words
    check_settings(plan(elsewhere, tmp_path / "lists" / "e.json", [0], ["baseline"]), bundle_root, settings)
    with pytest.raises(ValueError, match=r"baseline_seed0 was begun with another value of max_epochs; give"):
        check_settings(runs, bundle_root, {**settings, "max_epochs": 30})
    write_datalist(datalist, {**images, "validation": images["training"]})
    with pytest.raises(
        ValueError, match=r"baseline_seed0 was begun with other images, labels or names .* \S*d.json has now; g"
    ):
        check_settings(runs, bundle_root, settings)
    write_datalist(datalist, images, {"nuclei_classes": {"1": "tumour"}})
    with pytest.raises(ValueError, match=r"other images, labels or names of classes than"):
        check_settings(runs, bundle_root, settings)
    write_datalist(datalist, images)
    check_settings(runs, bundle_root, settings)


def trained(run, bundle_root):
    """A run that is trained and scored, as far as its folder tells."""
    begin(run, bundle_root, {})
    record = run.folder / "checkpoints" / "run.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"content of images and labels": contents(run.datalist)}))
    (run.folder / "report.json").write_text(json.dumps({"per_image": {"a": {"nuclei_pq": 0.5}}}))


def test_a_label_that_was_edited_since_is_refused(generated, bundle_root, tmp_path, monkeypatch, capsys):
    """The old table came at once, with exit code 0; or rungs of both labels stood in one."""
    shutil.copytree(generated.parent, tmp_path / "data")
    datalist, out = tmp_path / "data" / generated.name, tmp_path / "out"
    command = ["ablation", "--datalist", str(datalist), "--output", str(out), "--bundle", str(bundle_root)]
    command += ["--seeds", "0", "--rungs", "baseline", "+ P"]
    first, second = plan(out, datalist, [0], ["baseline", "+ P"])
    label = Path(load_datalist(datalist, "training")[0]["instances"])
    before = label.read_bytes()

    def edit():
        tifffile.imwrite(label, np.fliplr(tifffile.imread(label)))

    trained(first, bundle_root)
    trained(second, bundle_root)
    assert main(command) == 0
    edit()
    assert main(command) == 1
    assert "baseline_seed0 was begun with other images, labels or names of classes" in capsys.readouterr().err

    def edited_meanwhile(runs, *_):
        yield runs[0]
        edit()
        yield runs[1]

    label.write_bytes(before)
    monkeypatch.setattr(ablation, "run_ladder", edited_meanwhile)
    assert main(command) == 1
    assert "baseline_seed0 was begun with other images" in capsys.readouterr().err


def test_trainings_say_what_is_in_their_files(bundle_root):
    """Where `check_settings` looks for it."""
    parser = ConfigParser()
    parser.read_config(bundle_root / "configs" / "train.yaml")
    assert f"'{ablation._CONTENT}': contents(@dataset_file)" in parser["same"]
    assert parser["last_checkpoint"] == "$os.path.join(@checkpoint_dir, 'last.pt')"


def test_children_end_together_and_none_starts_after(tmp_path):
    children, log, ends = _Children(1), tmp_path / "log.txt", []
    sleep = ["-c", "import time; print('begun', flush=True); time.sleep(60)"]

    def child():
        with pytest.raises(ChildProcessError) as error:
            children.call(sleep, log)
        ends.append(str(error.value))

    thread = threading.Thread(target=child)
    thread.start()
    while not log.is_file() or "begun" not in log.read_text():
        time.sleep(0.01)
    children.end()
    thread.join(10)
    assert "exit code -15" in ends[0]
    with pytest.raises(ChildProcessError, match="stopped"):
        children.call(sleep, log)


def test_scores_merge_classes_as_the_training_does(generated, bundle_root, tmp_path):
    values = {"crop_size": 64, "num_workers": 0, "tissue_merge": [255, 255], **RUNGS["baseline"]}
    (run,) = plan(tmp_path, generated, [0], ["baseline"])
    begin(run, bundle_root, values)
    config = [str(bundle_root / "configs" / "train.yaml"), str(run.folder / "overlay.json")]
    parser = ConfigParser()
    parser.read_config(config)
    save_released(parser.get_parsed_content("network"), run.folder / "model.pt")
    score(config, run.folder, "baseline")
    assert (run.folder / "report.md").read_text().startswith("# baseline\n")
    report = json.loads((run.folder / "report.json").read_text())
    assert report["labels"].keys() == report["per_image"].keys()
    assert (scores := report["mean"])["nuclei_pq"] >= 0
    assert "tissue_dice" not in scores  # the list takes every class out


@pytest.mark.slow
def test_ladder_end_to_end_and_again(generated, bundle_root, tmp_path, capsys):
    arguments = ["ablation", "--datalist", str(generated), "--output", str(tmp_path), "--bundle", str(bundle_root)]
    small = ["crop_size=64", "epoch_length=4", "batch_size=2", "max_epochs=1", "val_interval=1", "num_workers=0"]
    arguments += ["--seeds", "0", "--set", *small]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"| {rung} | 1 |" in out for rung in LADDER)
    stamps = {path: path.stat().st_mtime for path in tmp_path.rglob("report.json")}
    assert len(stamps) == 4
    assert main(arguments) == 0  # everything is done already
    assert stamps == {path: path.stat().st_mtime for path in tmp_path.rglob("report.json")}


def test_a_table_of_others_is_not_replaced(tmp_path, capsys):
    """It was, after the first training."""
    path = tmp_path / "table.md"
    write_table([], path)
    check_table(path)
    path.write_text("# Mine")
    with pytest.raises(
        ValueError, match=r"table\.md was not written by coseg ablation, which writes a file of that name"
    ):
        check_table(path)
    assert main(["ablation", "--datalist", "gone.json", "--output", str(tmp_path)]) == 1
    assert "was not written by coseg ablation" in capsys.readouterr().err
    assert path.read_text() == "# Mine"
