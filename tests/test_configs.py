import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import monai.bundle
import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image

import coseg_bundle
from coseg_bundle.networks import About, save_released
from coseg_bundle.networks.checkpoints import read_state_dict
from coseg_bundle.networks.weights_file import sha256
from coseg_bundle.settings.values import for_users

WORKFLOWS = ("train", "evaluate", "inference")
SMALL = ["--crop_size", "64", "--epoch_length", "4", "--batch_size", "2", "--num_workers", "0", "--val_interval", "1"]


@pytest.fixture
def configs(bundle_root):
    return bundle_root / "configs"


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", ["tissue_classes", "nuclei_classes"])
def test_workflows_agree_on_classes(configs, kind):
    """On those of the released weights."""
    parsers = [ConfigParser(load(configs / f"{name}.yaml")) for name in WORKFLOWS]
    _, inference, evaluation = (parser.get_parsed_content(kind) for parser in parsers)
    assert inference == evaluation == list(getattr(About.of_file(configs.parent / "models" / "model.pt"), kind))


@pytest.mark.parametrize("section", ["network_def", "layout", "segmentation"])
def test_workflows_agree(configs, section):
    train, *others = (load(configs / f"{name}.yaml")[section] for name in WORKFLOWS)
    if section == "segmentation":  # of what was taught, where the weights say that something was not
        assert {section.pop("layout") for section in others} == {"$@inferer.layout"}
        assert train.pop("layout") == "@layout"
    if section == "network_def":
        del train["_requires_"]  # only training draws fresh weights
        del train["weights"]  # only training starts from SAM 2's
        del train["image_encoder"]["drop_path"]  # only training skips blocks
        del train["two_scales"]  # and the weights say this afterwards
    for other in others:
        assert other == train


@pytest.mark.parametrize(("name", "kind"), [("train", "train"), ("inference", "inference")])
def test_properties_that_monai_asks_for(configs, generated, tmp_path, name, kind):
    workflow = ConfigWorkflow(
        config_file=str(configs / f"{name}.yaml"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        bundle_root=str(tmp_path),
        dataset_file=str(generated),
        dataset_dir=str(generated.parent / "images"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_metadata_is_true(bundle_root, configs):
    metadata = json.loads((configs / "metadata.json").read_text())
    assert metadata["version"] == coseg_bundle.__version__
    assert metadata["version"] in metadata["changelog"]
    pins = dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", (bundle_root / "requirements.lock").read_text(), re.M))
    pins = {name.lower(): version for name, version in pins.items()}
    assert metadata["monai_version"] == pins["monai"]
    assert metadata["pytorch_version"] == pins["torch"]
    assert metadata["numpy_version"] == pins["numpy"]
    for package, version in metadata["required_packages_version"].items():
        assert pins[package] == version, package
    parser = ConfigParser()
    parser.read_config(configs / "inference.yaml")
    layout = parser.get_parsed_content("layout")
    output = metadata["network_data_format"]["outputs"]["pred"]
    names = parser.get_parsed_content("tissue_classes"), parser.get_parsed_content("nuclei_classes")
    assert output["channel_def"] == layout.channel_def(*names)
    with torch.no_grad():
        pred = parser.get_parsed_content("network_def").eval()(torch.rand(1, 3, 64, 96))
    assert pred.shape == (1, output["num_channels"], 64, 96)
    assert str(pred.dtype) == f"torch.{output['dtype']}"
    image = metadata["network_data_format"]["inputs"]["image"]
    assert len(image["channel_def"]) == image["num_channels"] == 3
    item = parser.get_parsed_content("postprocessing")({"pred": pred[0]})
    for key, said in metadata["network_data_format"]["post_processed_outputs"].items():
        assert (item[key].shape[0], str(item[key].dtype)) == (said["num_channels"], f"torch.{said['dtype']}"), key
    tissue = metadata["network_data_format"]["post_processed_outputs"]["pred_tissue"]
    assert list(tissue["channel_def"].values()) == parser.get_parsed_content("tissue_classes")
    assert tissue["value_range"] == [0, len(tissue["channel_def"]) - 1]


def test_paper_recipe(configs, generated, tmp_path):
    parser = ConfigParser()
    parser.read_config([str(configs / "train.yaml"), str(configs / "presets" / "paper.yaml")])
    parser.update({"dataset_file": str(generated), "output_dir": str(tmp_path)})
    assert (parser["network_def::image_encoder::variant"], parser["network_def::image_encoder::freeze_trunk"]) == (
        "large",
        True,
    )
    assert (parser["crop_size"], parser["batch_size"], parser["max_epochs"]) == (1024, 16, 300)
    assert (parser["loss::lambda_1"], parser["loss::lambda_2"], parser["loss::focal_gamma"]) == (2.0, 1.0, 2.0)
    assert (parser["network_def::prompting"], parser["network_def::paradigm"]) == ("crossed", "joint")
    parser["network_def::image_encoder::variant"] = "tiny"  # the same recipe at a size that a test can build
    optimizer = parser.get_parsed_content("optimizer")
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["lr"] == 1e-4
    assert parser.get_parsed_content("lr_scheduler").gamma == 0.98
    assert parser["lr_by_epoch"] is True
    network = parser.get_parsed_content("network")
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    trunk = {name for name in learning if ".trunk." in name}
    assert trunk
    assert all("lora_" in name or ".mlp.down." in name or ".mlp.up." in name for name in trunk)  # LoRA and adapters
    assert any(name.startswith("mp_decoder") for name in learning)


def test_every_config_says_how_to_run_it(configs):
    for path in configs.rglob("*.yaml"):
        head = "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:4])
        assert head.startswith("# ")
        assert "monai.bundle run" in head or "torchrun" in head, path


def run_bundle(workflow: str, config: Path, cwd: Path, *arguments: object) -> str:
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        workflow,
        "--config_file",
        str(config),
        *map(str, arguments),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


def test_training_evaluating_inference_end_to_end(configs, generated, tmp_path):
    """From a foreign working directory; the training is cut after one epoch and goes on."""
    run, logging_file = tmp_path / "run", configs / "logging.conf"
    common = ["--bundle_root", configs.parent, "--logging_file", logging_file, "--dataset_file", generated]
    train = [*common, "--output_dir", run, *SMALL]
    first = run_bundle("training", configs / "train.yaml", tmp_path, *train, "--max_epochs", 1)
    assert "epoch 1 of 1: loss" in first
    assert "validation: mean_of_tasks" in first
    second = run_bundle("training", configs / "train.yaml", tmp_path, *train, "--max_epochs", 2)
    assert "after epoch 1" in second
    assert "epoch 2 of 2" in second
    assert "epoch 1 of" not in second
    assert {"best.pt", "last.pt"} <= {path.name for path in (run / "checkpoints").iterdir()}
    assert list((run / "tensorboard").iterdir())

    weights = ["--weights", run / "model.pt", "--tile_size", 64]
    scores = tmp_path / "scores"
    run_bundle("evaluating", configs / "evaluate.yaml", tmp_path, *common, *weights, "--output_dir", scores)
    report = json.loads((scores / "report.json").read_text())
    assert {"nuclei_pq", "nuclei_f1", "nuclei_aji_plus", "tissue_hd95", "tissue_pq"} <= report["mean"].keys()
    assert {path.name for path in scores.iterdir()} == {"report.json", "per_image.csv", "report.md"}

    results = tmp_path / "results"
    images = ["--dataset_dir", generated.parent / "images", "--output_dir", results]
    run_bundle("inference", configs / "inference.yaml", tmp_path, *common[:4], *weights, *images)
    folders = sorted(results.iterdir())
    assert len(folders) == 4
    assert all((folder / "summary.json").is_file() for folder in folders)


def test_training_with_a_teacher(configs, generated, tmp_path):
    """One epoch of two steps; the teacher is a fresh network."""
    parser = ConfigParser()
    parser.read_config(configs / "train.yaml")
    save_released(parser.get_parsed_content("network_def"), tmp_path / "teacher.pt")
    arguments = ["--bundle_root", configs.parent, "--logging_file", configs / "logging.conf", *SMALL, "--max_epochs", 1]
    arguments += ["--dataset_file", generated, "--output_dir", tmp_path / "run"]
    taught = ["--teachers", [str(tmp_path / "teacher.pt")], "--taught_weight", 100]
    log = run_bundle("training", configs / "train.yaml", tmp_path, *arguments, *taught)
    loss = float(re.search(r"epoch 1 of 1: loss ([\d.]+)", log)[1])
    assert loss > 100 * 5 * 0.5  # two nuclei and three tissue terms; who is undecided has an entropy of log 2
    state = read_state_dict(tmp_path / "run" / "model.pt")
    assert all(value.isfinite().all() for value in state.values())
    assert state.keys() == parser.get_parsed_content("network_def").state_dict().keys()  # no teacher is released


def of_nuclei(generated, folder):
    """A datalist of the same images without labels of tissue."""
    sections = json.loads(generated.read_text())
    for item in sections["training"] + sections["validation"]:
        item.update({key: str(generated.parent / item[key]) for key in ("image", "instances", "types") if key in item})
        del item["tissue"]
    (folder / "nuclei.json").write_text(json.dumps(sections))
    return folder / "nuclei.json"


def test_what_a_teacher_knows_is_trained(configs, generated, tmp_path):
    """Its classes are told by name, and what it was not taught it does not teach."""
    datalist = of_nuclei(generated, tmp_path)

    def parser(**settings):
        parser = ConfigParser()
        parser.read_config(configs / "train.yaml")
        files = {"dataset_file": str(datalist), "output_dir": str(tmp_path), "device": "cpu"}
        names = {"tissue_classes": ["background", "gland"], "nuclei_classes": ["background", "nucleus"]}
        parser.update({**files, **names, **settings})
        return parser

    network = parser().get_parsed_content("network_def")
    for name, untrained in (("both", ()), ("nuclei", ("tissue",))):
        said = {"tissue_classes": ("gland", "background"), "nuclei_classes": ("background", "nucleus"), "mpp": 0.25}
        about = About.of(network, **said, untrained=untrained)
        save_released(network, tmp_path / f"{name}.pt", about.to_tensor())
        taught = parser(teachers=[str(tmp_path / f"{name}.pt")])
        assert taught.get_parsed_content("labels").untrained == untrained
        assert taught.get_parsed_content("loss").taught_tasks == (("nuclei",) if untrained else ("tissue", "nuclei"))
        sources = taught.get_parsed_content("train::teachers").sources[0]
        assert sources == ([0, 1, 2, 3, 4] if untrained else [1, 0, 2, 3, 4])
    assert parser().get_parsed_content("labels").untrained == ("tissue",)
    silent = parser(teachers=[str(tmp_path / "both.pt")], taught_weight=0)
    assert silent.get_parsed_content("labels").untrained == ("tissue",)
    with pytest.raises(RuntimeError) as raised:
        parser(teachers=[str(tmp_path / "both.pt")], mpp=0.5).get_parsed_content("train::teachers")
    said = str(for_users(raised.value))
    assert "both.pt works at 0.25 um per pixel, and the network that it should teach at 0.5: name" in said


def test_what_start_weights_know_at_another_resolution(configs, generated, tmp_path, caplog):
    """Tissue that nobody labelled counted as known, of pixels twice as large, and no word was said."""
    datalist = of_nuclei(generated, tmp_path)

    def parser(**settings):
        parser = ConfigParser()
        parser.read_config(configs / "train.yaml")
        files = {"dataset_file": str(datalist), "output_dir": str(tmp_path), "device": "cpu"}
        parser.update({**files, **settings})
        return parser

    network = parser().get_parsed_content("network_def")
    names = {"tissue_classes": ("background", "gland"), "nuclei_classes": ("background", "nucleus")}
    start = tmp_path / "start.pt"
    save_released(network, start, About.of(network, **names, mpp=0.25).to_tensor())
    for mpp, untrained in ((0.25, ()), (0.27, ()), (0.5, ("tissue",))):
        caplog.clear()
        training = parser(start_weights=str(start), mpp=mpp)
        assert training.get_parsed_content("labels").untrained == untrained
        training.get_parsed_content("network")
        warned = f"{start} works at 0.25 um per pixel, and this training at 0.5: how large things are is learnt anew"
        assert (warned in caplog.text) == bool(untrained)


def test_no_teachers_unless_named(configs, generated, tmp_path):
    parser = ConfigParser()
    parser.read_config(configs / "train.yaml")
    parser.update({"dataset_file": str(generated), "output_dir": str(tmp_path)})
    assert parser.get_parsed_content("train::teachers") is None
    assert parser.get_parsed_content("train::trainer").prepare_batch.teachers is None


def test_only_named_parts_are_trained(configs, generated, tmp_path):
    parser = ConfigParser()
    parser.read_config(configs / "train.yaml")
    parser.update({"dataset_file": str(generated), "output_dir": str(tmp_path), "trained_parts": ["mp_decoder.tissue"]})
    learning = {name for name, p in parser.get_parsed_content("network").named_parameters() if p.requires_grad}
    assert learning
    assert all(name.startswith("mp_decoder.tissue.") for name in learning)
    trained = parser.get_parsed_content("optimizer").trained
    assert len(trained) == len(learning)


OVER_CLASSES = (
    *("mini_classes_large", "mini_classes_scales", "mini_local"),
    *("mini_commercial", "mini_commercial_large"),
)


@pytest.mark.parametrize(
    ("preset", "channels"),
    [
        ("puma_track1", 15),
        ("puma_track2", 22),
        ("mini_open", 7),
        ("mini_open_taught", 7),
        ("mini_classes", 13),
        ("mini_classes_large", 13),
        ("mini_classes_scales", 13),
        ("mini_local", 13),
        ("mini_commercial", 13),
        ("mini_commercial_large", 7),
        ("quick", 7),
    ],
)
def test_presets(configs, generated, tmp_path, preset, channels):
    files = [
        "train.yaml",
        *(["presets/mini_open.yaml"] if preset == "mini_open_taught" else []),
        *(["presets/mini_classes.yaml"] if preset in OVER_CLASSES else []),
        f"presets/{preset}.yaml",
    ]
    parser = ConfigParser()
    parser.read_config([str(configs / file) for file in files])
    parser.update({"dataset_file": str(generated), "output_dir": str(tmp_path)})
    if "type_weights" in parser.get("loss", {}):
        assert parser.get_parsed_content("loss").type_weights.tolist() == [1, 1, 1, 1, 2]
    assert parser.get_parsed_content("layout").channels == channels
    network = parser.get_parsed_content("network_def")
    assert network.layout.channels == channels
    assert bool(network.two_scales) == preset.startswith("mini_")  # scale ranges wide enough for it
    assert network.mp_decoder.subpixel == 2
    of_windows = preset in (
        "mini_local",
        "mini_commercial",
        "quick",
    )  # as the released weights, which quick starts from
    assert network.mp_decoder.nuclei.window == (8 if of_windows else 0)
    assert network.image_encoder.detail is not None
    parser["augmentation::transforms::0::items"] = None  # these images are none of the sets that it has scales for
    assert len(parser.get_parsed_content("augmentation").transforms) > 5


def test_puma_presets_have_the_table_of_classes(configs):
    from coseg_bundle.classes import NUCLEI_PRESETS, TISSUE_PRESETS

    for track in (1, 2):
        preset = load(configs / "presets" / f"puma_track{track}.yaml")
        assert tuple(preset["tissue_classes"]) == TISSUE_PRESETS["puma"].names
        assert tuple(preset["nuclei_classes"]) == NUCLEI_PRESETS[f"puma_track{track}"].names
    paper = load(configs / "presets" / "puma_paper.yaml")
    assert paper["tissue_merge"][TISSUE_PRESETS["puma"].id_of("tissue_tumor")] == 1
    assert sum(paper["tissue_merge"]) == 1


def test_the_weights_are_of_the_bundle_whose_configuration_is_named(configs, make_network, tmp_path, monkeypatch):
    """From within another bundle's folder; the summary says whose they are."""
    shutil.copytree(configs, tmp_path / "mine" / "configs")
    (tmp_path / "mine" / "models").mkdir()
    weights = tmp_path / "mine" / "models" / "model.pt"
    network = make_network()
    said = {"tissue_classes": ("glass", "tumour"), "nuclei_classes": ("background", "nucleus"), "mpp": 0.25}
    save_released(network, weights, About.of(network, **said).to_tensor())
    write_json = (tmp_path / "mine" / "configs" / "inference.json").write_text
    write_json(json.dumps(load(configs / "inference.yaml")))
    Image.fromarray(np.full((64, 64, 3), 230, np.uint8)).save(tmp_path / "a.png")
    monkeypatch.chdir(configs.parent)
    options = {"dataset_dir": str(tmp_path / "a.png"), "output_dir": str(tmp_path / "out"), "logging_file": False}
    for kind in ("yaml", "json"):
        file = str(tmp_path / "mine" / "configs" / f"inference.{kind}")
        monai.bundle.run("inference", config_file=file, **options)
        summary = json.loads((tmp_path / "out" / "a.png" / "summary.json").read_text())
        assert list(summary["tissue_area_px"]) == ["glass", "tumour"]
        assert (summary["weights"], summary["weights_sha256"]) == ("model.pt", sha256(weights))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_results_of_the_workflow_are_known_again(configs, tmp_path, monkeypatch):
    """By the image's path, whichever folder it was given from."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((64, 64, 3), 230, np.uint8)).save(tmp_path / "images" / "a.png")
    options = {"config_file": str(configs / "inference.yaml"), "output_dir": str(tmp_path / "out")}
    for folder in (tmp_path / "images", tmp_path):
        monkeypatch.chdir(folder)
        images = os.path.relpath(tmp_path / "images")
        monai.bundle.run("inference", **options, dataset_dir=images, logging_file=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert json.loads((tmp_path / "out" / "a.png" / "summary.json").read_text())["image"] == str(
        tmp_path / "images" / "a.png"
    )


@pytest.mark.parametrize("start", [None, "start.pt"])
def test_a_look_at_a_training_changes_nothing(configs, generated, tmp_path, start):
    """Whoever asked for a part before `run` had the average of fresh weights released, and weights of no seed."""
    if start:
        parser = ConfigParser()
        parser.read_config(configs / "train.yaml")
        parser["seed"] = 5
        start = tmp_path / start
        save_released(parser.get_parsed_content("network_def"), start)
    small = {name.lstrip("-"): int(value) for name, value in zip(SMALL[::2], SMALL[1::2], strict=True)}
    small |= {"max_epochs": 1, "epoch_length": 2, "device": "cpu", "start_weights": start and str(start)}

    def trained(name: str, look: bool):
        workflow = ConfigWorkflow(
            str(configs / "train.yaml"),
            logging_file=False,
            workflow_type="train",
            dataset_file=str(generated),
            output_dir=str(tmp_path / name),
            **small,
        )
        workflow.initialize()
        torch.manual_seed(int(look))  # a process has drawn before
        if look:
            assert workflow.check_properties() == []
            assert workflow.trainer.state.max_epochs == 1
        workflow.run()
        return read_state_dict(tmp_path / name / "model.pt")

    alone, after_a_look = trained("alone", look=False), trained("looked", look=True)
    assert [name for name in alone if not torch.equal(alone[name], after_a_look[name])] == []
    if start:
        weights = read_state_dict(start)
        near = [(alone[name].float() - weights[name].float()).abs().mean().item() for name in weights]
        assert max(near) < 0.02
