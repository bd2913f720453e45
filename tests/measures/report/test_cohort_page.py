from __future__ import annotations

import csv
import re

import numpy as np
import pytest

from coseg_bundle.classes import ClassMap
from coseg_bundle.measures.report import cohort_page
from coseg_bundle.measures.report.cohort_page import write_cohort_page
from coseg_bundle.measures.report.figures import tissue_colours

CLASSES = ("background", "empty", "gland", "other_tissue")


def write_table(folder, *rows):
    names = [
        "name",
        "results",
        "error",
        "doubts",
        "nuclei",
        "area_mm2",
        "nuclei_per_mm2",
        *(f"tissue_{name}_mm2" for name in CLASSES),
    ]
    with (folder / "slides.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, names, restval="")
        table.writeheader()
        table.writerows(rows)


def slide(name, **tissue):
    areas = {f"tissue_{kind}_mm2": area for kind, area in tissue.items()}
    return {"name": name, "nuclei": 12, "area_mm2": 2, "nuclei_per_mm2": 6, **areas}


def test_tissue_of_networks_that_name_it_differently(tmp_path, monkeypatch):
    """No slide has every class: each one still has its bar."""
    write_table(
        tmp_path,
        slide("a", empty=0, gland=1, other_tissue=3),
        slide("b", background=1, gland=1),
        {"name": "c", "error": "c: no results"},
    )
    figures = []
    monkeypatch.setattr(cohort_page, "picture", lambda figure, caption: figures.append(figure) or caption)
    page = write_cohort_page(tmp_path).read_text()
    bars = {
        container.get_label(): [bar.get_width() for bar in container] for container in figures[-1].axes[0].containers
    }
    assert bars == {"background": [0, 0.5], "empty": [0, 0], "gland": [0.25, 0.5], "other_tissue": [0.75, 0]}
    assert "c: no results" in page


def test_doubts_stand_on_the_page(tmp_path):
    write_table(tmp_path, slide("a") | {"doubts": "is the resolution right?"}, slide("b"))
    page = write_cohort_page(tmp_path).read_text()
    assert "<h2>In doubt</h2>" in page
    assert "a: is the resolution right?" in page
    write_table(tmp_path, slide("b"))
    assert "In doubt" not in write_cohort_page(tmp_path).read_text()


def test_one_slide_is_one(tmp_path):
    write_table(tmp_path, slide("a"))
    page = write_cohort_page(tmp_path).read_text()
    assert "slide measured" in page
    assert not re.findall("1 slides|slides measured", page)


def test_what_is_most_of_a_slide_is_pale():
    found = tissue_colours(ClassMap(CLASSES))
    assert np.array_equal(found[2], (0, 160, 135))  # as on the page of coseg view
    assert found[3] == pytest.approx((245, 228, 234))
    assert tissue_colours(ClassMap(("background", "gland")))[0] == pytest.approx((245, 228, 234))
