"""Where the bundle lies: the folder with `configs/` and `models/`."""

from __future__ import annotations

import inspect
import os
from os import PathLike
from pathlib import Path
from traceback import walk_stack
from types import FrameType
from typing import Any

ENVIRONMENT_VARIABLE = "COSEG_BUNDLE"
CONFIG = Path("configs", "inference.yaml")
WEIGHTS = Path("models", "model.pt")
GRAPH = Path("models", "graph.onnx")
ONNX = Path("models", "model.onnx")

_PACKAGE = Path(__file__).parent
PACKED = "_bundle"
"""Folder of an installed package with the copy of the bundle: its configurations and weights."""


class BundleNotFoundError(FileNotFoundError):
    """No bundle folder where one was expected; the message says where it was looked for."""


def find_bundle_root(given: str | PathLike[str] | None = None) -> Path:
    """Finds the bundle folder.

    Looked for in this order: the argument, the bundle whose configuration MONAI reads (where one of its expressions
    asks), the environment variable `COSEG_BUNDLE`, the working directory, the checkout that the package was installed
    from, the copy inside an installed package. The argument and the variable must be right when given; of the others
    only a bundle of ours is taken, since every bundle of MONAI has these names of files.

    Args:
        given: A bundle folder that the user names.

    Raises:
        BundleNotFoundError: There is no `configs/inference.yaml` in any of them, or it is another bundle's.
    """
    if given is None and (asking := _read_by_monai()) is not None:
        return asking
    named = os.environ.get(ENVIRONMENT_VARIABLE) or None if given is None else given
    places = [Path(named)] if named is not None else [Path.cwd(), _PACKAGE.parent, _PACKAGE / PACKED]
    for place in places:
        if (place / CONFIG).is_file() and (named is not None or _is_ours(place)):
            return place.resolve()
    raise BundleNotFoundError(
        f"No bundle found: {' or '.join(str(place / CONFIG) for place in places)} does not exist"
        f"{' or is of another bundle' if named is None else ''}; give the bundle's folder with --bundle or in the "
        f"environment variable {ENVIRONMENT_VARIABLE}."
    )


def _read_by_monai() -> Path | None:
    """The bundle whose configuration MONAI reads; None where nobody does, or where it lies in no bundle.

    MONAI tells an expression nothing of the file that it stands in. The workflow or the command that has it computed
    knows the file, and is among the callers.
    """
    for frame, _ in walk_stack(inspect.currentframe()):
        if (folder := _configuration_folder(frame)) is not None:
            folder = folder.resolve()
            root = folder.parent if folder.name == CONFIG.parent.name else folder  # as MONAI takes it
            return root if _is_ours(root) else None
    return None


def _is_ours(root: Path) -> bool:
    """Whether a folder is a bundle whose configurations ask for it: another's, of which Co-Seg is a step, do not."""
    if not ((root / CONFIG).is_file() or (root / WEIGHTS).is_file()):
        return False
    named = (path for path in (root / CONFIG.parent).glob("*") if path.suffix in (".json", ".yaml", ".yml"))
    files = filter(Path.is_file, named)
    return any(find_bundle_root.__name__ in path.read_text(encoding="utf-8", errors="replace") for path in files)


def _configuration_folder(frame: FrameType) -> Path | None:
    """The folder of the first configuration file, where a frame is of a function of MONAI that has one."""
    module = frame.f_globals.get("__name__")
    if module == "monai.bundle.workflows":
        return getattr(frame.f_locals.get("self"), "config_root_path", None)
    if module == "monai.bundle.scripts" and (files := frame.f_locals.get("config_file")):
        return Path(files if isinstance(files, str | PathLike) else files[0]).parent
    return None


def setting(name: str, given: str | PathLike[str] | None = None) -> Any:
    """A plain value of `configs/inference.yaml`.

    Args:
        name: Its id.
        given: A bundle folder that the user names.
    """
    import yaml

    return yaml.safe_load((find_bundle_root(given) / CONFIG).read_text(encoding="utf-8"))[name]
