"""Builds the archive that `monai.bundle.download` fetches: the same files give the same bytes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from coseg_bundle.atomic import whole_file
from coseg_bundle.networks.weights_file import sha256

NAME = "coseg_tissue_nuclei_segmentation"
"""Name of the bundle: the folder inside the archive."""

LARGEST = 25_000_000
"""Largest file that the model zoo takes, bytes."""

_PARTS = (
    "CHANGELOG.md",
    "CITATION.cff",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "NOTICE",
    "README.md",
    "configs",
    "coseg_bundle",
    "docker",
    "docs",
    "mkdocs.yml",
    "models",
    "pyproject.toml",
    "requirements-docs.lock",
    "requirements-label.lock",
    "requirements.lock",
    "scripts",
    "setup.py",
)
_LEFT_OUT = (
    "__pycache__",
    ".pyc",
    ".DS_Store",
    ".partial",
    "model.onnx",
    ".ts",
    "logs",
    "commercial.pt",
    "commercial.pt.sha256",
)
_EPOCH = (1980, 1, 1, 0, 0, 0)
_JSON_CONFIGS = ("train", "evaluate", "inference", "inference_trt", "multi_gpu_train")


def build(root: Path, dist: Path, weights_url: str | None = None) -> Path:
    """Writes `dist/coseg_tissue_nuclei_segmentation_v<version>.zip`, and its SHA-256 beside it.

    The archive holds the bundle, and JSON copies of its configs beside the YAML, because `monai.bundle.load` reads JSON
    only.

    Args:
        root: The bundle's folder.
        dist: Folder for the archive.
        weights_url: Where `models/model.pt` will be published by itself. The archive then lists address and checksum in
            `large_files.yml` in its place, as the model zoo wants it for files over 25 MB.

    Raises:
        ValueError: `root` is no complete bundle, or its weights are too large for an archive.
    """
    metadata = root / "configs" / "metadata.json"
    absent = [str(path) for path in (metadata, root / "LICENSE", root / "models" / "model.pt") if not path.is_file()]
    if absent:
        raise ValueError(f"{root} is no complete bundle: {', '.join(absent)} is missing.")
    weights = root / "models" / "model.pt"
    if weights_url is None and weights.stat().st_size > LARGEST:
        raise ValueError(f"{weights} is over 25 MB; publish it by itself and give its address with --weights-url.")
    version = json.loads(metadata.read_text(encoding="utf-8"))["version"]
    dist.mkdir(parents=True, exist_ok=True)
    archive = dist / f"{NAME}_v{version}.zip"
    with whole_file(archive) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as file:
        for name, content in sorted(contents(root, weights_url)):
            entry = zipfile.ZipInfo(f"{NAME}/{name}", _EPOCH)
            entry.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content)
    with whole_file(archive.with_suffix(".zip.sha256")) as partial:
        partial.write_text(f"{sha256(archive)}  {archive.name}\n", encoding="utf-8")
    return archive


def contents(root: Path, weights_url: str | None = None) -> Iterator[tuple[str, bytes]]:
    """Names inside the bundle's folder and their bytes, JSON copies of the configs included."""
    weights = root / "models" / "model.pt"
    for part in _PARTS:
        top = root / part
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            inside = path.relative_to(root)
            if path == weights and weights_url:
                entry = {"path": "models/model.pt", "url": weights_url, "hash_val": sha256(path), "hash_type": "sha256"}
                yield "large_files.yml", yaml.safe_dump({"large_files": [entry]}, sort_keys=False).encode()
            elif path.is_file() and not any(path.name.endswith(end) or end in inside.parts for end in _LEFT_OUT):
                yield inside.as_posix(), path.read_bytes()
    for name in _JSON_CONFIGS:
        content = yaml.safe_load((root / "configs" / f"{name}.yaml").read_text(encoding="utf-8"))
        yield f"configs/{name}.json", (json.dumps(content, indent=2) + "\n").encode()
