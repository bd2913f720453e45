"""The archive's door: `coseg install`, which leaves nothing behind when it refuses."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from pathlib import Path
from typing import Any

from .case import Case
from .stand_in import write


def archive(members: dict[str, Any], **options: Any) -> bytes:
    """A zip of files by name."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return file.getvalue()


def look(folder: Path, result: Any) -> dict[str, Any]:
    """What is left in the folder of bundles."""
    return {"left": sorted(path.name for path in (folder / "out").iterdir()) if (folder / "out").is_dir() else []}


def install(name: str, content: bytes, refused: str, *, digest: str | bytes | None = None, options: str = "") -> Case:
    """An archive that is not installed.

    Args:
        name: What is odd.
        content: The archive.
        refused: The sentence.
        digest: What lies beside it as its SHA-256; the right one where not given.
        options: Of the command.
    """
    said = hashlib.sha256(content).hexdigest() if digest is None else digest
    beside = [] if said == "none" else [("a.zip.sha256", said)]
    return Case(
        "zips",
        name,
        write(("a.zip", content), *beside),
        f"install a.zip --bundle-dir out {options}",
        1,
        refused,
        {"left": []},
        look,
    )


def encrypted() -> bytes:
    """A zip that says it is encrypted."""
    content = bytearray(BUNDLE)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        at = bytes(content).index(signature)
        struct.pack_into("<H", content, at + offset, 1)
    return bytes(content)


def damaged() -> bytes:
    """A zip whose first file has another byte than its sum says."""
    at = BUNDLE.index(b"metadata!")
    return BUNDLE[:at] + b"M" + BUNDLE[at + 1 :]


def link() -> bytes:
    """A zip with a link that leads out."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("b/configs/metadata.json", "{}")
        info = zipfile.ZipInfo("b/out")
        info.external_attr = 0o120777 << 16
        made.writestr(info, "../../../..")
        made.writestr("b/out/escaped.txt", "x")
    return file.getvalue()


def nameless() -> bytes:
    """A zip with a file whose name ends before it begins."""
    return archive({"b/configs/metadata.json": "{}", "xyz": "x"}).replace(b"xyz", b"\0yz")


BUNDLE = archive({"b/configs/metadata.json": '"metadata!"'})
_NO_BUNDLE = r"a\.zip was not installed: it holds no bundle, one folder with configs/metadata\.json\."
_UNSOUND = r"a\.zip was not installed: it is no sound archive \(.+\); download it again\."
_FAULT = r"a\.zip was not installed: .+; get it again from where it was published\."

CASES = [
    install("no sum", BUNDLE, r"No checksum at a\.zip\.sha256; give the published one with --sha256\.", digest="none"),
    install("an empty sum", BUNDLE, r"No checksum at a\.zip\.sha256; .+", digest=""),
    install("a sum that is no text", BUNDLE, r"No checksum at a\.zip\.sha256; .+", digest=b"\xff\xfe\xff"),
    install("another sum", BUNDLE, r"a\.zip was not installed: its SHA-256 is [0-9a-f]{64}, expected 00; it is damaged or another file, download it again\.", digest="00"),
    install("another sum is given", BUNDLE, r"a\.zip was not installed: its SHA-256 is [0-9a-f]{64}, expected abc; .+", options="--sha256 abc"),
    install("empty", b"", _UNSOUND),
    install("text", b"no archive", _UNSOUND),
    install("cut", BUNDLE[:-30], _UNSOUND),
    install("cut at the front", BUNDLE[20:], r"a\.zip was not installed: .+"),
    install("nothing in it", archive({}), _NO_BUNDLE),
    install("two folders", archive({"b/configs/metadata.json": "{}", "c/x": ""}), _NO_BUNDLE),
    install("no folder", archive({"configs/metadata.json": "{}"}), _NO_BUNDLE),
    install("a file alone", archive({"metadata.json": "{}"}), _NO_BUNDLE),
    install("no metadata", archive({"b/configs/train.yaml": "{}"}), _NO_BUNDLE),
    install("a path that leaves", archive({"b/configs/metadata.json": "{}", "../escaped.txt": "x"}), r"a\.zip was not installed: .+"),
    install("a path that leaves from within", archive({"b/configs/metadata.json": "{}", "b/../../escaped.txt": "x"}), r"a\.zip was not installed: .+"),
    install("an absolute path", archive({"b/configs/metadata.json": "{}", "/escaped-by-coseg/a.txt": "x"}), r"a\.zip was not installed: .+"),
    install("a link that leads out", link(), r"a\.zip was not installed: .+"),
    install("encrypted", encrypted(), _UNSOUND),
    install("a file without a name", nameless(), r"a\.zip was not installed: .+"),
    install("a wrong sum of a file", damaged(), _UNSOUND),
    install("a file and a folder of one name", archive({"b/configs": "x", "b/configs/metadata.json": "{}"}), r"a\.zip was not installed: .+"),
    install("a name too long", archive({"b/configs/metadata.json": "{}", "b/" + "x" * 300: ""}), r"a\.zip was not installed: .+"),
    *(install(f"metadata of {text!r}", archive({"b/configs/metadata.json": text}), _FAULT) for text in ("", "{", "[]", "3", "{}", "null")),
    Case("zips", "not there", write(("x", "")), "install gone.zip --bundle-dir out", 1, r"gone\.zip cannot be read \(.+\); check the address\.", {"left": []}, look),
    Case("zips", "a folder", lambda folder: (folder / "a.zip").mkdir(), "install a.zip --bundle-dir out", 1, r"a\.zip cannot be read \(.+\); check the address\.", {"left": []}, look),
    *(Case("zips", f"the address {source!r}", write(("x", "")), f"install {source!r} --bundle-dir out", 1, r".+ cannot be read \(.+\); check the address\.", {"left": []}, look) for source in ("http://127.0.0.1:9/a b.zip", "http://", "https:///a.zip", "http://[::1/a.zip", "http://127.0.0.1:99999/a.zip", "http://127.0.0.1:9/a.zip")),
    Case("zips", "the output is a file", write(("a.zip", BUNDLE), ("a.zip.sha256", hashlib.sha256(BUNDLE).hexdigest()), ("out", "x")), "install a.zip --bundle-dir out", 1, r".*out.*"),
]  # fmt: skip
