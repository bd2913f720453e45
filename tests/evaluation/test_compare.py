import json

import numpy as np
import pytest

from coseg_bundle.cli import main
from coseg_bundle.evaluation.compare import compare, format_differences, left_out, read_report

ROWS = {"a": {"pq": 0.5, "aji": None}, "b": {"pq": 0.25, "aji": 0.75}}


def written(folder, content):
    """A folder with a report: a file's text, or scores by image, all of the same labels."""
    folder.mkdir()
    if not isinstance(content, str):
        content = json.dumps({"per_image": content, "labels": {image: {"instances": "1"} for image in content}})
    (folder / "report.json").write_text(content)
    return folder


def report(folder, content):
    return read_report(written(folder, content))


def test_by_hand(tmp_path):
    a, b = report(tmp_path / "a", ROWS), report(tmp_path / "b", {**ROWS, "a": {"pq": 1}})
    pq, aji = compare(a, b)
    assert (pq.name, pq.images, pq.mean_a, pq.mean_b, pq.difference) == ("pq", 2, 0.375, 0.625, 0.25)
    assert (aji.images, aji.difference) == (1, 0)
    lines = format_differences([pq, aji]).splitlines()
    assert lines[1].split()[-3:] == ["[+0.0000,", "+0.5000]", "-"]  # one image differs: no test
    assert lines[2].split() == ["aji", "1", "0.7500", "0.7500", "+0.0000", "-", "-"]
    assert len(lines) == 4  # no image has a score in one report alone


def test_images_where_one_report_alone_has_a_score(tmp_path, capsys):
    """B finds nuclei in two empty images, where A has nothing to score: it came out better, and nothing was said."""
    nothing = {"pq": None, "f1": None}
    a = written(tmp_path / "a", {"x": {"pq": 0.5, "f1": 0.5}, "y": nothing, "z": nothing})
    b = written(tmp_path / "b", {"x": {"pq": 0.75, "f1": 0.75}, "y": {"pq": 0, "f1": 0}, "z": {"pq": 0, "f1": 0}})
    pq, _ = compare(read_report(a), read_report(b))
    assert (pq.images, pq.difference, pq.only_a, pq.only_b) == (1, 0.25, (), (0, 0))
    assert main(["compare", str(a), str(b)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[:3] == ["pq", "1*", "0.5000"]
    assert lines[3] == "* 2 images only in B, mean 0.0000, in no number above: pq, f1."
    assert main(["compare", str(b), str(a)]) == 0
    assert "* 2 images only in A, mean 0.0000, in no number above: pq, f1." in capsys.readouterr().out


def test_a_score_that_no_image_has_in_both(tmp_path):
    """It was in no line."""
    a = report(tmp_path / "a", {"x": {"pq": 0.5}, "y": {"pq": None}})
    b = report(tmp_path / "b", {"x": {"pq": None}, "y": {"pq": 0.25}})
    [pq] = compare(a, b)
    assert (pq.images, pq.only_a, pq.only_b) == (0, (0.5,), (0.25,))
    assert np.isnan([pq.mean_a, pq.mean_b, pq.difference, pq.low, pq.p_value]).all()
    _, row, *said = format_differences([pq]).splitlines()
    assert row.split() == ["pq", "0*", *"-----"]
    assert said == [
        "* 1 images only in A, mean 0.5000, in no number above: pq.",
        "* 1 images only in B, mean 0.2500, in no number above: pq.",
    ]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_scores_that_are_no_finite_numbers(tmp_path, value):
    folder = written(tmp_path / "a", f'{{"per_image": {{"x": {{"pq": 1}}, "y": {{"pq": {value}}}}}}}')
    with pytest.raises(ValueError, match=r"no finite numbers \(1, first y: pq\)"):
        read_report(folder)


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"per_image": {}, "labels": 3}',
            '{"per_image": {}, "labels": {"a": 3}}',
            '{"per_image": {}, "none_found": 3}',
        ),
        *("[]", "{}", "3", "", "{", '{"per_image": []}', '{"per_image": {"a": 3}}', "[" * 100_000),
        *(f'{{"per_image": {{"a": {{"pq": {value}}}}}}}' for value in ('"x"', "true", "1" + "0" * 400)),
    ],
)
def test_no_report(tmp_path, text):
    with pytest.raises(ValueError, match="is no report of `coseg evaluate`"):
        report(tmp_path / "a", text)


def test_a_former_report_of_an_image_that_a_mac_named(tmp_path):
    a, b = report(tmp_path / "a", {"a\u0308": {"pq": 0.5}}), report(tmp_path / "b", {"\u00e4": {"pq": 1}})
    [pq] = compare(a, b)
    assert (pq.images, pq.difference) == (1, 0.5)
    assert left_out(a, b) == []


def test_two_images_of_one_name(tmp_path):
    folder = written(tmp_path / "a", {"a\u0308": {"pq": 0.5}, "\u00e4": {"pq": 1}})
    with pytest.raises(ValueError, match="has two images that are both called \u00e4; evaluate again"):
        read_report(folder)


def test_what_so_few_images_can_say(tmp_path):
    """Four pairs: the best that can happen is that all differ one way, 2 of the 16 outcomes."""
    scores = {name: {"pq": 0.1 * number} for number, name in enumerate("abcd", start=1)}
    better = {name: {"pq": row["pq"] * 2} for name, row in scores.items()}
    [row] = compare(report(tmp_path / "a", scores), report(tmp_path / "b", better))
    assert (row.differing, row.least_p) == (4, 0.125)
    assert row.p_value == pytest.approx(0.125)
    assert "4 images that differ can give no p below 0.12 (pq); 6 can give one below 0.05." in format_differences([row])
    a = read_report(tmp_path / "a")
    [same] = compare(a, a)
    assert "can give" not in format_differences([same])


def test_what_is_left_out(tmp_path):
    a = report(tmp_path / "a", {"x": {"pq": 1, "pq_a": 1}, "y": {"pq": 1}})
    b = report(
        tmp_path / "b",
        json.dumps({"per_image": {"x": {"pq": 0}}, "none_found": ["x"], "labels": {"x": {"instances": "1"}}}),
    )
    assert left_out(a, b) == [
        "Images only in A, not compared: y.",
        "Scores only in A, not compared: pq_a.",
        "B found no nuclei at all in 1 images: x.",
    ]
    assert left_out(a, a) == []


def test_distances_of_two_units_are_not_compared(tmp_path):
    """Former reports do not say in which pixels they are: of the network, or of the images."""
    rows = {"x": {"tissue_dice": 1, "tissue_hd": 4, "tissue_hd95": 2}}
    labelled = {"per_image": rows, "labels": {"x": {"tissue": "x"}}}
    former = report(tmp_path / "former", json.dumps(labelled))
    now = report(tmp_path / "now", json.dumps(labelled | {"distances": "pixels of the images"}))
    other = report(tmp_path / "other", json.dumps(labelled | {"distances": "um"}))
    assert [row.name for row in compare(now, now)] == ["tissue_dice", "tissue_hd", "tissue_hd95"]
    assert left_out(now, now) == []
    for a, b in ((former, now), (now, other), (former, former)):
        assert [row.name for row in compare(a, b)] == ["tissue_dice"]
    assert left_out(former, now) == [
        "Not compared: tissue_hd, tissue_hd95, in A in pixels that it does not name, in B in pixels of the images; "
        "evaluate again."
    ]


def test_images_that_tie_do_not_make_a_difference_surer(tmp_path):
    """Five of fourteen differ, all one way: 2 of the 32 outcomes. It was 0.043, below the least that five can give."""
    scores = {str(number): {"pq": 0.5} for number in range(14)}
    better = {name: {"pq": 0.5 + max(0, int(name) - 8) / 16} for name in scores}
    [row] = compare(report(tmp_path / "a", scores), report(tmp_path / "b", better))
    assert (row.images, row.differing) == (14, 5)
    assert row.p_value == row.least_p == 0.0625


@pytest.mark.parametrize("seed", range(12))
def test_no_p_value_is_below_the_least(tmp_path, seed):
    """With ties between images, and between magnitudes; all one way in every third case."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 8, rng.integers(2, 40)) / 8
    steps = rng.integers(0 if seed % 3 == 0 else -2, 3, len(a)) / 8
    one, two = ({f"{i}": {"pq": float(v)} for i, v in enumerate(values)} for values in (a, a + steps))
    [row] = compare(report(tmp_path / "a", one), report(tmp_path / "b", two))
    assert row.differing == np.count_nonzero(steps)
    assert np.isnan(row.p_value) if row.differing < 2 else row.p_value >= row.least_p - 1e-12


def test_images_of_other_labels_are_not_compared(tmp_path, capsys):
    """Both reports are of the datalist, and its labels were corrected in between."""

    def labelled(folder, x, scores, **y):
        content = {"per_image": {"x": {"pq": scores}, "y": {"pq": scores}}, "labels": {"x": x, "y": y}}
        return report(tmp_path / folder, json.dumps(content))

    a = labelled("a", {"instances": "1", "types": "1"}, 0.5, instances="1", types="1")
    b = labelled(
        "b", {"instances": "1", "types": "2"}, 0.75, instances="1", tissue="1"
    )  # y: what both know is the same
    [row] = compare(a, b)
    assert (row.images, row.difference) == (1, 0.25)
    assert left_out(a, b) == ["Images whose labels differ, not compared: x; evaluate both again."]
    c = labelled("c", {"instances": "2"}, 0.75, instances="3")
    with pytest.raises(ValueError, match=r"were scored on different labels, image by image; evaluate both again"):
        compare(a, c)
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    assert "not compared: x; evaluate both again." in capsys.readouterr().out


def test_former_reports_do_not_say_their_labels(tmp_path):
    former = report(tmp_path / "former", json.dumps({"per_image": ROWS}))
    now = report(tmp_path / "now", ROWS)
    assert len(compare(former, now)) == 2
    assert left_out(former, now) == ["Which labels were scored in A is not known, so they may differ; evaluate again."]
    assert left_out(former, former) == [
        "Which labels were scored in A and B is not known, so they may differ; evaluate again."
    ]


def test_reports_of_no_common_image(tmp_path):
    with pytest.raises(ValueError, match="share no image; compare reports on the same datalist"):
        compare(report(tmp_path / "a", {"x": {"pq": 1}}), report(tmp_path / "b", {"y": {"pq": 1}}))
