"""HTML in one file: no script, nothing loaded from elsewhere, fit to print."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from coseg_bundle import __version__
from coseg_bundle.atomic import whole_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_FOR_DIAGNOSIS = "For research. Not for diagnosis."

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: #1d2733; background: #fff;
  max-width: 1080px; margin: 0 auto; padding: 24px; }
h1 { font-size: 25px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 30px 0 8px; padding-bottom: 3px; border-bottom: 2px solid #d8dee6; }
p { margin: 6px 0; max-width: 80ch; orphans: 3; widows: 3; } .lead { color: #56616e; overflow-wrap: anywhere; }
.warning { display: inline-block; margin: 10px 0 4px; padding: 5px 12px; border: 1px solid #b3261e; color: #b3261e;
  border-radius: 4px; font-weight: 600; }
.numbers { display: grid; grid-template-columns: repeat(auto-fill, minmax(190px, 1fr)); gap: 10px; margin: 14px 0; }
.numbers div { border: 1px solid #d8dee6; border-radius: 6px; padding: 8px 12px; }
.numbers b { display: block; font-size: 21px; } .numbers span { color: #56616e; font-size: 13px; }
figure { margin: 12px 0; break-inside: avoid; } figure img { max-width: 100%; height: auto; display: block; }
figcaption { color: #56616e; font-size: 13px; margin-top: 4px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0; }
th, td { padding: 4px 10px; border-bottom: 1px solid #e3e8ee; text-align: right; vertical-align: top; }
th { background: #f3f6f9; vertical-align: bottom; } th:first-child, td:first-child, td.text { text-align: left; }
td:first-child, td.text { overflow-wrap: anywhere; } th:first-child, td:first-child { min-width: 10em; }
tr { break-inside: avoid; } thead { display: table-header-group; }
ul { margin: 6px 0; padding-left: 22px; } li { overflow-wrap: anywhere; }
footer { margin-top: 34px; padding-top: 8px; border-top: 1px solid #d8dee6; color: #56616e; font-size: 13px; }
@page { size: A4; margin: 14mm; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } h1 { font-size: 18px; } h2 { font-size: 14px;
  margin-top: 16px; break-after: avoid; } table, figcaption, footer { font-size: 9.5px; } th, td { padding: 2px 5px; }
  .numbers { grid-template-columns: repeat(4, 1fr); } .wide { overflow: visible; }
  .warning, th { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""


def write_page(path: Path, title: str, lead: str, parts: Iterable[str]) -> None:
    """Writes a page.

    Args:
        path: The file.
        title: What it is about.
        lead: A line below the title.
        parts: HTML of its sections.
    """
    body = "\n".join(parts)
    content = f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_STYLE}</style></head><body>
<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p><p class="warning">{NOT_FOR_DIAGNOSIS}</p></header>
{body}
<footer>Co-Seg {escape(__version__)}. {NOT_FOR_DIAGNOSIS} The columns are defined in docs/measures.md; the tables lie
beside this page as CSV, every nucleus in nuclei.parquet.</footer>
</body></html>
"""
    with whole_file(path) as partial:
        partial.write_text(content, encoding="utf-8")


def section(title: str, *parts: str) -> str:
    """A section; none where it would be empty."""
    content = "\n".join(filter(None, parts))
    return f"<section><h2>{escape(title)}</h2>\n{content}</section>" if content else ""


def numbers(cards: Sequence[tuple[str, str]]) -> str:
    """Figures to see first: what is written large, and what it is."""
    inner = "".join(f"<div><b>{escape(value)}</b><span>{escape(what)}</span></div>" for value, what in cards)
    return f'<div class="numbers">{inner}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int] = (0,)) -> str:
    """A table; columns in `text` are words."""
    lines = [
        "".join(
            f'<td class="text">{escape(v)}</td>' if i in text else f"<td>{escape(v)}</td>" for i, v in enumerate(row)
        )
        for row in rows
    ]
    if not lines:
        return ""
    names = "".join(f"<th>{escape(name)}</th>" for name in head)
    top = f"<thead><tr>{names}</tr></thead>" if any(head) else ""
    inner = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f'<div class="wide"><table>{top}<tbody>\n{inner}</tbody></table></div>'


def bullets(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    inner = "".join(f"<li>{escape(sentence)}</li>\n" for sentence in sentences)
    return f"<ul>{inner}</ul>" if inner else ""


def paragraph(text: str) -> str:
    """A paragraph."""
    return f"<p>{escape(text)}</p>"


def picture(figure: Figure | None, caption: str) -> str:
    """A figure as an image inside the page."""
    if figure is None:
        return ""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    data = base64.b64encode(content.getvalue()).decode()
    alt = escape(caption, quote=True)
    image = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def number(text: str, digits: int = 3) -> str:
    """A number of a table as people read it: `12,345`, `0.123`; a dash where it is not known."""
    if not text:
        return "–"
    value = float(text)
    if value == round(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    decimals = max(0, digits - 1 - int(np.floor(np.log10(abs(value)))))
    return f"{value:.{decimals}f}" if decimals <= 6 else f"{value:.1e}"
