"""What the documentation site does beyond Markdown (hooks that mkdocs.yml names).

- The front page is `docs/home.md`. `docs/README.md`, the model card of MONAI's model zoo, is a page like others.
- A few files beside `docs/` are pages too, and links to them lead there.
- `[[help: predict]]` in a page becomes what `coseg predict --help` says.
- `[[config: train]]` becomes the first block of `configs/train.yaml`, with what a user may want to change.
"""

from __future__ import annotations

import argparse
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.structure.files import File, Files

from coseg_bundle.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
PLACES = {"home.md": "index.html", "README.md": "model_card.html"}
"""Pages that lie elsewhere in the site than in the folder."""
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "models/README.md")
"""Pages that are no files of `docs/`, by their paths in the repository."""

_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")


class Examples(Extension):
    """An `Example:` of a docstring is code, as `Examples:` are."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Renames the section."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)


def on_files(files: Files, config: Any) -> Files:
    """Gives pages their places in the site, and adds those beside `docs/`."""
    for source, place in PLACES.items():
        page = files.src_uris[source]
        page.dest_uri = page.url = place
        page.name = Path(place).stem  # a README is a section's front page otherwise
    for name in BESIDE:
        files.append(File.generated(config, _uri(name), abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills in the help of commands, and mends links that leave `docs/`."""
    here = next((name for name in BESIDE if _uri(name) == page.file.src_uri), f"docs/{page.file.src_uri}")

    def mended(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), link[1]))
        if target not in BESIDE and not target.startswith("docs/"):
            return link[0]
        return "](" + posixpath.relpath(_uri(target), posixpath.dirname(page.file.src_uri) or ".")

    markdown = _LINK.sub(mended, markdown)
    markdown = re.sub(r"\[\[help: ([\w -]*)\]\]", lambda words: _help(words[1].split()), markdown)
    return re.sub(r"\[\[config: (\w+)\]\]", lambda name: _first_block(ROOT / "configs" / f"{name[1]}.yaml"), markdown)


def _uri(name: str) -> str:
    """Where the site's sources have a file of the repository."""
    return name.removeprefix("docs/") if name.startswith("docs/") else "repository/" + name.replace("/", "_")


def _help(words: list[str]) -> str:
    os.environ["COLUMNS"] = "100"
    parser = build_parser()
    for word in words:
        choices = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction)).choices
        parser = choices[word]
    return f"```text\n{parser.format_help().rstrip()}\n```"


def _first_block(path: Path) -> str:
    block = re.split(r"^# ---- .*\n", path.read_text(encoding="utf-8"), flags=re.M)[1]
    return f"```yaml\n{block.rstrip()}\n```"
