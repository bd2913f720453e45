import json
from pathlib import Path

import pytest
import torch

from coseg_bundle.precision import ASKED, Precision, resolve


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"):
        monkeypatch.delenv(name, raising=False)


def processor(monkeypatch, *features, onednn=True):
    found = {"architecture": "made up", "avx2": True, **dict.fromkeys(features, True)}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)


def gpu(monkeypatch, major, minor):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ((), Precision("fp32", "the processor has no bf16 units")),  # AVX2: most laptops
        (("avx512_f", "avx512_vnni"), Precision("fp32", "the processor has no bf16 units")),  # Ice Lake
        (("avx512_f", "avx512_bf16"), Precision("bf16", "avx512_bf16")),  # Zen 4
        (("avx512_bf16", "amx_bf16"), Precision("bf16", "amx_bf16")),  # Sapphire Rapids
        (("neon", "bf16"), Precision("bf16", "bf16")),  # Graviton 3
        (("neon", "fp16_arith"), Precision("fp32", "the processor has no bf16 units")),
    ],
)
def test_processors(monkeypatch, features, expected):
    processor(monkeypatch, *features)
    for training in (False, True):
        assert resolve("auto", "cpu", training=training) == expected


def test_a_processor_that_has_not_got_a_unit_says_false(monkeypatch):
    processor(monkeypatch)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False, "amx_bf16": False})
    assert resolve("auto", torch.device("cpu")).name == "fp32"


def test_units_that_pytorch_cannot_use(monkeypatch):
    processor(monkeypatch, "neon", "bf16", onednn=False)  # macOS
    assert resolve("auto", "cpu") == Precision("fp32", "this PyTorch has no oneDNN to use bf16")


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "fp32"),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core", "fp32"),
        ("DNNL_MAX_CPU_ISA", "AVX512_CORE_VNNI", "fp32"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "bf16"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX", "bf16"),
        ("ONEDNN_MAX_CPU_ISA", "DEFAULT", "bf16"),
        ("ATEN_CPU_CAPABILITY", "avx2", "bf16"),  # oneDNN multiplies matrices all the same
    ],
)
def test_units_that_the_environment_hides(monkeypatch, variable, value, name):
    processor(monkeypatch, "avx512_bf16")
    monkeypatch.setenv(variable, value)
    found = resolve("auto", "cpu")
    assert found == Precision(
        name, f"{variable}={value.upper()} hides avx512_bf16" if name == "fp32" else "avx512_bf16"
    )


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16 sse\nbugs\t: none\n", Precision("bf16", "avx512_bf16")),
        ("processor: 0\nFeatures\t: fp asimd i8mm bf16\n", Precision("bf16", "bf16")),
        ("flags\t\t: fpu avx2 avx512f\n", Precision("fp32", "the processor has no bf16 units")),
        ("nothing of the kind", Precision("fp32", "this system does not tell of units")),
        (None, Precision("fp32", "this system does not tell of units")),
    ],
)
def test_an_older_pytorch_reads_linux_list(monkeypatch, cpuinfo, expected):
    def read(path, **options):
        if cpuinfo is None:
            raise FileNotFoundError(path)
        return cpuinfo

    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(Path, "read_text", read)
    assert resolve("auto", "cpu") == expected


@pytest.mark.parametrize(
    ("capability", "inference", "training"),
    [
        ((6, 1), "fp32", "fp32"),
        ((7, 0), "fp16", "fp32"),
        ((7, 5), "fp16", "fp32"),
        ((8, 0), "bf16", "bf16"),
        ((9, 0), "bf16", "bf16"),
        ((12, 0), "bf16", "bf16"),
    ],
)
def test_gpus(monkeypatch, capability, inference, training):
    gpu(monkeypatch, *capability)
    for name, learns in ((inference, False), (training, True)):
        found = resolve("auto", "cuda:1", training=learns)
        assert found.name == name
        assert "compute capability {}.{}".format(*capability) in found.reason


def test_a_gpu_that_is_elsewhere(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto", "cuda") == Precision("fp32", "there is no GPU here to ask")


def test_other_devices_compute_in_full_precision():
    assert resolve("auto", "mps") == Precision("fp32", "half precision is untried on mps")
    assert resolve("fp16", "mps") == Precision("fp16", ASKED)


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.half)])
def test_what_is_asked_for(monkeypatch, name, dtype):
    processor(monkeypatch)  # without units: emulated, since somebody wants it
    found = resolve(name, "cuda" if name == "fp16" else "cpu")
    assert (found, found.dtype, str(found)) == (Precision(name, ASKED), dtype, f"{name} (asked for)")
    assert resolve(found, "cpu") is found


@pytest.mark.parametrize(
    ("precision", "device", "training", "message"),
    [
        ("fp16", "cpu", False, "Expected precision auto, fp32 or bf16 for cpu, got fp16."),
        ("fp16", "cuda:0", True, "Expected precision auto, fp32 or bf16 for training on cuda:0, got fp16."),
        ("half", "cuda", False, "Expected precision auto, fp32, bf16 or fp16 for cuda, got half."),
        (False, "cuda", False, "Expected precision auto, fp32, bf16 or fp16 for cuda, got False."),
        (None, "cpu", False, "got None."),
    ],
)
def test_what_cannot_be_had(precision, device, training, message):
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        resolve(precision, device, training=training)


@pytest.mark.parametrize("amp", [True, False, 0])
def test_the_former_name_is_refused(amp):
    with pytest.raises(
        ValueError, match=f"`amp` has become `precision`, got amp {amp}: .* fp32 for the former amp false"
    ):
        resolve("auto", "cpu", amp=amp)


@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_a_configuration_has_one_precision(bundle_root, name, generated):
    from monai.bundle import ConfigParser

    parser = ConfigParser()
    parser.read_config(bundle_root / "configs" / f"{name}.yaml")
    parser.update({"bundle_root": str(bundle_root), "dataset_file": str(generated), "precision": "bf16"})
    parser["device"] = torch.device("cpu")
    content = json.dumps(parser.get(), default=str)
    assert content.count("@amp") == content.count('"@precision"') == 1  # in the rule; all else takes what it says
    assert parser.get_parsed_content("resolved_precision") == Precision("bf16", ASKED)
    users = {"train": ("train::inferer::inferer", "validate::inferer")}.get(name, ("inferer::inferer",))
    for user in users:
        assert parser.get_parsed_content(user).precision.name == "bf16"
    if name == "train":
        assert parser.get_parsed_content("optimizer").parts["muon"].dtype == torch.bfloat16
    parser["amp"] = False
    parser.parse(reset=True)
    with pytest.raises(Exception, match="precision") as caught:
        parser.get_parsed_content("resolved_precision")
    assert "`amp` has become `precision`" in repr(caught.value.__cause__ or caught.value)
