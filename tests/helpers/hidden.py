"""Runs `coseg` as on a machine of the light installation: imports of PyTorch, of what is built on it, and of what the
extra `full` brings fail."""

import sys
from importlib.abc import MetaPathFinder

OF_TORCH = ("torch", "torchvision", "monai", "sam2", "peft", "ignite", "onnx")
OF_FULL = ("scipy", "skimage", "pyarrow", "imagecodecs", "zarr", "nibabel", "matplotlib", "starlette", "uvicorn")
HIDDEN = OF_TORCH + OF_FULL


class Hidden(MetaPathFinder):
    """Finds nothing where something is hidden."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by a test)", name=name.partition(".")[0])
        return None


def hide(names=HIDDEN) -> None:
    """From now on they cannot be imported."""
    sys.meta_path.insert(0, Hidden(names))


if __name__ == "__main__" or __name__ == "__mp_main__":
    hide()

if __name__ == "__main__":
    from coseg_bundle.cli import main

    code = main(sys.argv[1:])
    assert not set(HIDDEN) & {name.partition(".")[0] for name in sys.modules}
    sys.exit(code)
