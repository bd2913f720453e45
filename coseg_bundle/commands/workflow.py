"""MONAI's workflows as our commands run them."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coseg_bundle.atomic import writing
from coseg_bundle.data.images.files import first_line
from coseg_bundle.settings.values import for_users

_NOT_BUILT = "Failed to evaluate", "Failed to instantiate"
"""What MONAI's errors begin with where a value of the configuration cannot be made."""


def monai_command(run: str, configs: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """The command line of MONAI that runs the same from any folder.

    Args:
        run: What is run: `training` or `evaluating`.
        configs: The configuration, files that lie over it behind it.
        settings: Values by id.
    """
    files = str(configs[0]) if len(configs) == 1 else str([str(path) for path in configs])
    words = ["python", "-m", "monai.bundle", "run", run, "--config_file", files]
    for name, value in settings.items():
        words += [f"--{name}", _as_fire_reads(value)]
    return shlex.join(words)


def _as_fire_reads(value: Any) -> str:
    """Text that MONAI's command line reads as the value: Python, except for plain words."""
    if not isinstance(value, str):
        return repr(value)
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return repr(value)


def run_workflow(run: str, configs: Sequence[Path], settings: Mapping[str, Any]) -> None:
    """What `python -m monai.bundle run` does; an error that is written for users comes as it is.

    Args:
        run: What is run: `training` or `evaluating`.
        configs: The configuration, files that lie over it behind it.
        settings: Values by id, `output_dir` among them.

    Raises:
        NoRoomError: The disk is full.
        ValueError: The configuration cannot be built with these settings.
    """
    import logging

    from monai.bundle import ConfigWorkflow

    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)  # which files lie where
    files = [str(path) for path in configs]
    kind = "train" if run == "training" else "inference"
    workflow = ConfigWorkflow(files, workflow_type=kind, run_id=run, **settings)
    try:
        with writing(Path(settings["output_dir"])):  # MONAI's and TensorBoard's files too
            workflow.initialize()
            workflow.run()
            workflow.finalize()
    except Exception as error:
        if (cause := for_users(error)) is not None:
            raise cause from None
        if not str(error).startswith(_NOT_BUILT):
            raise
        raise ValueError(
            f"The configuration cannot be built with these settings ({first_line(_root(error))}); check "
            f"{', '.join(settings)}."
        ) from error


def _root(error: BaseException) -> BaseException:
    """What an error began with."""
    return error if error.__cause__ is None else _root(error.__cause__)
