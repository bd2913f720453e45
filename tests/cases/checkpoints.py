"""The checkpoint's door: weights that `coseg predict` is given, for a network with one parameter."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from colour_network import encode, write_bundle

from .case import Case
from .image_files import png
from .images import look
from .stand_in import instances, write

ROOT = Path(__file__).parents[2]
IMAGE = png(encode(instances(), instances() * 0))
"""What the network of `colour_network` reads three nuclei from."""

PARAMETER = {"unused": torch.zeros(1)}


def saved(content: Any, **options: Any) -> bytes:
    """What `torch.save` writes."""
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def weights(
    name: str,
    content: Any,
    refused: str = "",
    *,
    file: str = "w.pt",
    beside: tuple[tuple[str, Any], ...] = (),
    options: str = "",
    **right: Any,
) -> Case:
    """A case of this door."""

    def make(folder: Path) -> None:
        write_bundle(folder / "bundle", ROOT)
        write(("a.png", IMAGE), (file, content), *beside)(folder)

    return Case(
        door="checkpoints",
        name=name,
        make=make,
        do=f"predict a.png -o out --mpp 0.25 --device cpu --bundle bundle --weights {file} {options}",
        code=1 if refused else 0,
        says=refused,
        right={} if refused else {"nuclei": 3, **right},
        look=look,
    )


class Code:
    """What runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def _about(said: Any) -> bytes:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return saved({**PARAMETER, "about": torch.frombuffer(bytearray(text or b"\0"), dtype=torch.uint8)})


def _without(name: str) -> Callable[[Path], None]:
    """A file of weights, which is a zip, without one of its members."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(io.BytesIO(saved(PARAMETER))) as whole, zipfile.ZipFile(path, "w") as part:
            for member in whole.namelist():
                if not member.endswith(name):
                    part.writestr(member, whole.read(member))

    return make


def _folder(path: Path) -> None:
    path.mkdir()


_UNREADABLE = r"w\.pt is not a readable weights file \(.+\); expected a file written by torch\.save that holds tensors only; download or train it again\."
_NONE = r"w\.pt holds no network weights; expected a dictionary of tensors\."
_UNUSABLE = r"w\.pt holds no usable weights: {}; download or train them again\."
_OTHER = r"w\.pt belongs to another network: {} parameters are missing, {} are unknown and {} have another shape \(for example .+\); set .+"
_DAMAGED = r"w\.pt: what it says of itself is damaged \(.*\); download it again, or write it again\."
SUM = hashlib.sha256(saved(PARAMETER)).hexdigest()
SAVED = saved(PARAMETER)

CASES = [
    weights("the network's", SAVED),
    weights("in half precision", saved({"unused": torch.zeros(1).half()})),
    weights("in double precision", saved({"unused": torch.zeros(1).double()})),
    weights("in bfloat16", saved({"unused": torch.zeros(1).bfloat16()})),
    weights("a checkpoint of a training", saved({"network": PARAMETER, "engine": {"epoch": 3}})),
    weights("under model, as SAM 2's", saved({"model": PARAMETER})),
    weights("of the old format", saved(PARAMETER, _use_new_zipfile_serialization=False)),
    weights("a parameter", saved({"unused": torch.nn.Parameter(torch.zeros(1))})),
    weights("the sum lies beside it", SAVED, beside=(("w.pt.sha256", f"{SUM}  w.pt\n"),)),
    weights("the sum in capitals", SAVED, beside=(("w.pt.sha256", SUM.upper()),)),
    weights("another sum lies beside it", SAVED, r"w\.pt has the SHA-256 [0-9a-f]{64}, and w\.pt\.sha256 says 00: it is damaged or another file; .+", beside=(("w.pt.sha256", "00"),)),
    weights("an empty sum", SAVED, r"w\.pt has the SHA-256 [0-9a-f]{64}, and w\.pt\.sha256 says nothing: .+", beside=(("w.pt.sha256", ""),)),
    weights("a sum that is no text", SAVED, r"w\.pt has the SHA-256 .+", beside=(("w.pt.sha256", b"\xff\xfe\0"),)),
    weights("not there", SAVED, r"Weights not found: gone\.pt does not exist; `coseg doctor` tells how to get some\.", options="--weights gone.pt"),
    weights("a folder", _folder, r"Weights not found: w\.pt does not exist; .+"),
    *(weights(what, content, _UNREADABLE) for what, content in (
        ("no bytes", b""),
        ("text", "no weights"),
        ("zeros", bytes(500)),
        ("an error page", "<!DOCTYPE html><html>404</html>"),
        ("a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        ("cut", SAVED[:-200]),
        ("cut at the front", SAVED[100:]),
        ("half", SAVED[: len(SAVED) // 2]),
        ("pickled code", pickle.dumps(Code())),
        ("pickled code among weights", saved({**PARAMETER, "x": Code()})),
        ("a whole network", saved(torch.nn.Linear(1, 1))),
        ("a zip of something else", lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "a")),
        ("without its tensors", _without("data/0")),
        ("without its list", _without("data.pkl")),
        ("a picture", IMAGE),
    )),
    weights("TorchScript", lambda path: torch.jit.script(torch.nn.Linear(1, 1)).save(path), r"w\.pt .*(not a readable weights file|holds no network weights).+"),
    *(weights(what, saved(content), _NONE) for what, content in (
        ("nothing in it", {}),
        ("a list", [torch.zeros(1)]),
        ("a number", 3),
        ("none", None),
        ("a tensor", torch.zeros(1)),
        ("text among the tensors", {**PARAMETER, "note": "x"}),
        ("an empty network", {"network": {}}),
        ("a network in a network", {"network": {"network": PARAMETER}}),
    )),
    *(weights(what, saved(content), _UNUSABLE.format(words)) for what, content, words in (
        ("names that are numbers", {0: torch.zeros(1)}, r"expected names of parameters, got 0"),
        ("sparse", {"unused": torch.zeros(1).to_sparse()}, r"unused is sparse_coo, expected a plain tensor with its values"),
        ("on no device", {"unused": torch.zeros(1, device="meta")}, r"unused is meta, expected .+"),
        ("complex", {"unused": torch.zeros(1, dtype=torch.complex64)}, r"unused is no plain tensor, expected .+"),
        ("NaN", {"unused": torch.tensor([float("nan")])}, r"unused has values that are not finite"),
        ("infinity", {"unused": torch.tensor([float("inf")]).half()}, r"unused has values that are not finite"),
    )),
    weights("of another network", saved({"other": torch.zeros(2)}), _OTHER.format(1, 1, 0)),
    weights("of another shape", saved({"unused": torch.zeros(2)}), _OTHER.format(0, 0, 1)),
    weights("no axis", saved({"unused": torch.tensor(0.0)}), _OTHER.format(0, 0, 1)),
    weights("whole numbers", saved({"unused": torch.zeros(1, dtype=torch.int64)}), _OTHER.format(0, 0, 1)),
    weights("one too many", saved({**PARAMETER, "more": torch.zeros(1)}), _OTHER.format(0, 1, 0)),
    weights("a huge one that holds nothing", saved({"unused": torch.zeros(1).expand(2**20)}), _OTHER.format(0, 0, 1)),
    *(weights(f"what it says of itself: {said!r}", _about(said), _DAMAGED) for said in (b"", b"{", b"\xff", [], 3, None, {}, {"network": {}}, {"network": {"layout": {}}, "tissue_classes": 3, "nuclei_classes": [], "mpp": 1})),
    *(weights(f"ONNX: {what}", content, r"w\.onnx.*", file="w.onnx", options="--engine onnx") for what, content in (("no bytes", b""), ("text", "no network"), ("zeros", bytes(100)), ("weights of PyTorch", SAVED))),
    weights("ONNX: not there", SAVED, r".*gone\.onnx.*", options="--engine onnx --weights gone.onnx"),
    Case("checkpoints", "a slide with broken weights", lambda folder: (write_bundle(folder / "bundle", ROOT), write(("a.png", IMAGE), ("w.pt", "x"))(folder))[0] and None, "slide a.png -o out --mpp 0.25 --bundle bundle --weights w.pt", 1, _UNREADABLE),
    Case("checkpoints", "an export of broken weights", lambda folder: (write_bundle(folder / "bundle", ROOT), write(("w.pt", "x"))(folder))[0] and None, "export -o out.onnx --bundle bundle --weights w.pt", 1, _UNREADABLE),
    Case("checkpoints", "an export into a folder that is not there", lambda folder: None, "export -o gone/out.onnx", 1, r"gone/out\.onnx: its folder does not exist; make it, or name another file with --output\."),
    Case("checkpoints", "no bundle there", write(("a.png", IMAGE)), "predict a.png -o out --bundle .", 1, r"No bundle found: configs/inference\.yaml does not exist; .+"),
]  # fmt: skip
