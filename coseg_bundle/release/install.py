"""Installs a bundle's archive: checked first, then put into place whole."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import urllib.request
from http.client import HTTPException
from os import PathLike
from pathlib import Path
from urllib.parse import urlparse

from coseg_bundle.atomic import writing
from coseg_bundle.networks.weights_file import sha256
from coseg_bundle.release.checks import check_release


class InstallError(ValueError):
    """An archive that was not installed, with the reason and the remedy in one sentence."""


def install(source: str, bundle_dir: str | PathLike[str], checksum: str | None = None) -> Path:
    """Downloads an archive, checks it and unpacks it; after an error nothing is left behind.

    Checked are its SHA-256, the paths in it, and then what the configurations, the metadata and the weights say of each
    other, for which its network is built: a configuration is code, so install archives of people you trust.

    Args:
        source: URL or file of the archive.
        bundle_dir: Folder that gets the bundle's folder.
        checksum: SHA-256 of the archive; read from `<source>.sha256`, which `make bundle` writes, when not given.

    Returns:
        The bundle's folder.

    Raises:
        InstallError: The archive cannot be had, or is not what it should be, or the folder exists already.
        NoRoomError: The disk is full.
    """
    bundle_dir = Path(bundle_dir)
    bundle_dir.mkdir(parents=True, exist_ok=True)
    with writing(bundle_dir), tempfile.TemporaryDirectory(prefix=".installing-", dir=bundle_dir) as name:
        archive, unpacked = Path(name, "bundle.zip"), Path(name, "unpacked")
        _fetch(source, archive)
        _check_sum(source, archive, checksum or _published_sum(source, Path(name, "sum")))
        root = _unpack(source, archive, unpacked)
        _fetch_large_files(root)
        wrong = [check for check in check_release(root) if check.mark == "FAIL"]
        if wrong:
            raise InstallError(
                f"{source} was not installed: {wrong[0].what}; get it again from where it was published."
            )
        target = bundle_dir / root.name
        if target.exists():
            raise InstallError(f"{target} exists already; remove it, or name another folder with --bundle-dir.")
        os.replace(root, target)
    return target


def _fetch(source: str, target: Path) -> None:
    try:
        if re.search(r"\s", source) and "://" in source:
            raise ValueError("an address has no blanks: write %20")
        if urlparse(source).scheme in ("http", "https"):
            with urllib.request.urlopen(source, timeout=60) as response, target.open("wb") as file:
                shutil.copyfileobj(response, file)
        else:
            shutil.copyfile(source, target)
    except (OSError, ValueError, HTTPException) as error:
        raise InstallError(f"{source} cannot be read ({error or type(error).__name__}); check the address.") from error


def _published_sum(source: str, target: Path) -> str:
    try:
        _fetch(f"{source}.sha256", target)
        return target.read_text(encoding="utf-8").split()[0]
    except (InstallError, UnicodeDecodeError, IndexError) as error:
        raise InstallError(f"No checksum at {source}.sha256; give the published one with --sha256.") from error


def _check_sum(source: str, archive: Path, expected: str) -> None:
    found = sha256(archive)
    if found != expected.lower():
        raise InstallError(
            f"{source} was not installed: its SHA-256 is {found}, expected {expected}; it is damaged or another file, "
            "download it again."
        )


def _unpack(source: str, archive: Path, folder: Path) -> Path:
    """Unpacks into an empty folder and returns the one folder that it then holds."""
    from monai.apps.utils import extractall

    folder.mkdir()
    try:
        extractall(archive, folder, has_base=False)  # refuses absolute paths and ..
    except Exception as error:  # zipfile raises many kinds for headers that make no sense
        raise InstallError(
            f"{source} was not installed: it is no sound archive ({error}); download it again."
        ) from error
    roots = list(folder.iterdir())
    if len(roots) != 1 or not (roots[0] / "configs" / "metadata.json").is_file():
        raise InstallError(f"{source} was not installed: it holds no bundle, one folder with configs/metadata.json.")
    return roots[0]


def _fetch_large_files(root: Path) -> None:
    """Downloads what `large_files.yml` lists; MONAI checks each file's hash."""
    if not (root / "large_files.yml").is_file():
        return
    from monai.bundle import download_large_files

    try:
        download_large_files(str(root))
    except Exception as error:  # whatever MONAI raises here is the finding
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InstallError(
            f"{root.name} was not installed: a file of large_files.yml is not to be had ({reason})."
        ) from error
