"""Documents say what is there: links lead somewhere, quoted sentences are in the code, the site lists every page."""

import ast
import re
import sys
from argparse import _SubParsersAction
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "models" / "README.md"])
CURRENT = [page for page in PAGES if page.parent.name not in ("notebook", "decisions")]  # the others keep old commands
TROUBLE = ROOT / "docs" / "troubleshooting.md"
ANY = "\0"  # where a sentence has a name or a number


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """Ids of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_anchors_by_hand(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# The paper's Table 4\n\n```\n# no heading\n```\n\n## `mini`: what differs\n")
    assert anchors(page) == {"the-papers-table-4", "mini-what-differs"}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_headings_in_order(page):
    levels = [len(marks) for marks in re.findall(r"^(#+) ", prose(page), flags=re.M)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    if page != ROOT / "docs" / "README.md":  # the model zoo's headings skip a level
        assert all(after <= before + 1 for before, after in pairwise(levels))


def test_files_that_are_named_exist():
    for page in PAGES:
        for name in re.findall(r"`((?:configs|scripts|tests|docs)/[\w./-]+\.\w+)(?:::\w+)?`", prose(page)):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


@cache
def sentences() -> tuple[str, ...]:
    """Every string of the package, with `ANY` where an f-string has a value."""
    found = []
    for path in (ROOT / "coseg_bundle").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(part.value) if isinstance(part, ast.Constant) else ANY for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return tuple(found)


def pattern(quoted: str) -> re.Pattern[str]:
    """What a sentence of the code looks like, `…` being anything."""
    return re.compile(".*".join(re.escape(part) for part in quoted.split("…")), re.S)


def test_pattern_by_hand():
    assert pattern("…: not readable as … (…).").fullmatch(f"{ANY}: not readable as {ANY} ({ANY}).")
    assert not pattern("…: not readable").fullmatch(f"{ANY}: no image")


QUOTED = [
    cell for cell in re.findall(r"^\| `([^`]*…[^`]*|[^`]{40,})` \|", TROUBLE.read_text(encoding="utf-8"), flags=re.M)
]


def test_there_are_sentences():
    assert len(QUOTED) > 40


@pytest.mark.parametrize("quoted", QUOTED)
def test_sentence_is_in_the_code(quoted):
    wanted = pattern(quoted)
    assert any(wanted.fullmatch(sentence) for sentence in sentences()), "no such sentence in coseg_bundle"


class _Loader(yaml.SafeLoader):
    """Reads mkdocs.yml, whatever tags it has."""


def _nav_pages(entries) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    if isinstance(entries, dict):
        entries = list(entries.values())
    return [page for entry in entries for page in _nav_pages(entry)]


@pytest.fixture(scope="module")
def site():
    return yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _Loader)


def test_the_site_lists_every_page_once(site):
    listed = _nav_pages(site["nav"])
    assert len(listed) == len(set(listed))
    own = {page for page in listed if not page.startswith("repository/")}
    assert own == {str(path.relative_to(ROOT / "docs")) for path in ROOT.glob("docs/**/*.md")}


def test_the_site_loads_nothing_from_elsewhere(site):
    assert site["theme"]["font"] is False
    assert not [css for css in site["extra_css"] if ":" in css]
    assert "extra_javascript" not in site
    assert not [page.name for page in PAGES if "```mermaid" in page.read_text() and page.parent != ROOT]


def test_documents_of_python_name_what_there_is():
    text = (ROOT / "docs" / "reference" / "python.md").read_text()
    for name in re.findall(r"^::: ([\w.]+)$", text, flags=re.M):
        module, _, attribute = name.rpartition(".")
        __import__(module)
        assert hasattr(sys.modules[module], attribute), name


def code(page: Path, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_in_examples(page):
    for block in code(page, "python"):
        for module, names in re.findall(r"^from (coseg_bundle[\w.]*) import ([\w, ]+)", block, flags=re.M):
            __import__(module)
            assert all(hasattr(sys.modules[module], name.strip()) for name in names.split(",")), module


@pytest.mark.parametrize("page", CURRENT, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_in_examples(page):
    from coseg_bundle.cli import build_parser

    for block in code(page, "bash"):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            for command in re.findall(r"(?:^|&& |srun .* )coseg ([^#&]*)", line):
                words = command.split()
                parser = build_parser()
                while words and (choices := _choices(parser)):
                    parser = choices[words.pop(0)]
                known = parser._option_string_actions
                assert all(word in known for word in words if re.match(r"--?[a-z]", word)), command


def _choices(parser):
    return next((action.choices for action in parser._actions if isinstance(action, _SubParsersAction)), None)


def test_documents_of_commands_name_all():
    from coseg_bundle.cli import COMMANDS, command_name

    text = (ROOT / "docs" / "reference" / "cli.md").read_text()
    described = {words.split()[0] for words in re.findall(r"\[\[help: ([\w -]+)\]\]", text)}
    assert described == {command_name(module) for module in COMMANDS}


def test_presets_are_all_in_the_table():
    text = (ROOT / "docs" / "presets.md").read_text()
    for preset in (ROOT / "configs" / "presets").iterdir():
        assert f"presets/{preset.name}`" in text


def test_docs_are_pinned_once():
    extra = re.search(r"^docs = \[(.*)\]", (ROOT / "pyproject.toml").read_text(), flags=re.M)[1]
    wanted = re.findall(r'"([^"]+)"', extra)
    assert wanted
    lock = (ROOT / "requirements-docs.lock").read_text().splitlines()
    assert set(wanted) <= set(lock)
