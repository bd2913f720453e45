"""Puts the bundle into the wheel: its configs and weights become `coseg_bundle/_bundle`, the last place that
`find_bundle_root` looks. What else there is to say of the package stands in pyproject.toml."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py

_PARTS = (
    "configs/**/*.yaml",
    "configs/*.json",
    "configs/logging.conf",
    "models/model.pt*",
    "models/graph.onnx",
    "models/README.md",
    "LICENSE",
)


class BuildWithBundle(build_py):
    """Copies the bundle beside the modules; an editable install finds it where it lies."""

    def run(self) -> None:  # noqa: D102  # setuptools calls it
        super().run()
        if self.editable_mode:
            return
        root = Path(__file__).parent
        for source in sorted(path for part in _PARTS for path in root.glob(part)):
            target = Path(self.build_lib, "coseg_bundle", "_bundle", source.relative_to(root))
            target.parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, target)


setup(cmdclass={"build_py": BuildWithBundle})
