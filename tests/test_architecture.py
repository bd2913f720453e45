"""The import rules that docs/architecture.md states, from the imports themselves."""

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {name_of(path): path for path in sorted((ROOT / "coseg_bundle").rglob("*.py"))}


def imported(path: Path, *, at_start: bool = False) -> set[str]:
    """Names that a file imports; `at_start` leaves out what only a function or a type checker imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if at_start else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (inner & FILES.keys()) or {node.module}
    return names


def order(kind: str) -> dict[str, int]:
    """Line number of each room in a list of the page."""
    block = re.search(rf"```imports{kind}\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    return {room: number for number, line in enumerate(block[1].splitlines()) for room in line.split()}


def breaches(rank: dict[str, int], root: str) -> list[str]:
    """Imports between rooms of `root` that do not point down."""
    found = []
    for name, path in FILES.items():
        if not name.startswith(f"{root}."):
            continue
        room = name.removeprefix(f"{root}.").split(".")[0]
        for target in imported(path) & FILES.keys():
            other = target.removeprefix(f"{root}.").split(".")[0]
            if target.startswith(f"{root}.") and other != room and not rank[other] < rank[room]:
                found.append(f"{name} imports {target}")
    return found


@pytest.mark.parametrize(("kind", "root"), [("", "coseg_bundle"), (" wsi", "coseg_bundle.wsi")])
def test_imports_point_down(kind, root):
    rank = order(kind)
    rooms = {name.removeprefix(f"{root}.").split(".")[0] for name in FILES if name.startswith(f"{root}.")}
    assert rooms == rank.keys()  # the page knows every room
    assert breaches(rank, root) == []


def test_a_breach_is_found():
    upside_down = {room: -line for room, line in order("").items()}
    assert "coseg_bundle.cli imports coseg_bundle.commands.bundle.doctor" in breaches(upside_down, "coseg_bundle")


def test_no_circle_between_modules():
    TopologicalSorter({name: imported(path) & FILES.keys() - {name} for name, path in FILES.items()}).prepare()


def test_each_module_of_data_may_be_the_first_import():
    """What a package's `__init__` imports may lead back to the module that is being imported."""
    names = [name for name in FILES if name.startswith("coseg_bundle.data")]
    code = """import importlib, sys
for name in sys.argv[1:]:
    for loaded in [module for module in sys.modules if module.startswith("coseg_bundle")]:
        del sys.modules[loaded]
    importlib.import_module(name)"""
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_no_room_of_more_than_ten_modules():
    rooms = Counter(path.parent for path in FILES.values() if path.name != "__init__.py")
    assert {str(room): count for room, count in rooms.items() if count > 10} == {}


def test_only_its_application_imports_monai_label():
    users = {name for name, path in FILES.items() if any(i.split(".")[0] == "monailabel" for i in imported(path))}
    assert users == {f"coseg_bundle.label_app.{name}" for name in ("app", "guard", "image_folder", "tasks")}


def test_numpy_is_enough_for_postprocessing_and_metrics():
    for name, path in FILES.items():
        if name.startswith(("coseg_bundle.postprocessing.", "coseg_bundle.metrics.")) and "monai_metrics" not in name:
            assert not {"torch", "monai"} & {i.split(".")[0] for i in imported(path, at_start=True)}, name
