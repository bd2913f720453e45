"""Runs `coseg` as on a machine without PyTorch and what is built on it: their imports fail."""

import sys
from importlib.abc import MetaPathFinder

HIDDEN = ("torch", "torchvision", "monai", "sam2", "peft", "ignite", "onnx")


class Hidden(MetaPathFinder):
    """Finds nothing where something is hidden."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r} (hidden by a test)", name=name.partition(".")[0])
        return None


def hide() -> None:
    """From now on they cannot be imported."""
    sys.meta_path.insert(0, Hidden())


if __name__ == "__main__" or __name__ == "__mp_main__":
    hide()

if __name__ == "__main__":
    from coseg_bundle.cli import main

    code = main(sys.argv[1:])
    assert not set(HIDDEN) & {name.partition(".")[0] for name in sys.modules}
    sys.exit(code)
