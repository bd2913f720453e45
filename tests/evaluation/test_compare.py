import json

import pytest

from coseg_bundle.evaluation.compare import compare, format_differences, left_out, read_per_image

ROWS = {"a": {"pq": 0.5, "aji": None}, "b": {"pq": 0.25, "aji": 0.75}}


def report(folder, content):
    folder.mkdir()
    (folder / "report.json").write_text(content if isinstance(content, str) else json.dumps({"per_image": content}))
    return folder


def test_by_hand(tmp_path):
    a, b = report(tmp_path / "a", ROWS), report(tmp_path / "b", {**ROWS, "a": {"pq": 1}})
    pq, aji = compare(a, b)
    assert (pq.name, pq.images, pq.mean_a, pq.mean_b, pq.difference) == ("pq", 2, 0.375, 0.625, 0.25)
    assert (aji.images, aji.difference) == (1, 0)
    lines = format_differences([pq, aji]).splitlines()
    assert lines[1].split()[-3:] == ["[+0.0000,", "+0.5000]", "-"]  # one image differs: no test
    assert lines[2].split() == ["aji", "1", "0.7500", "0.7500", "+0.0000", "-", "-"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_scores_that_are_no_finite_numbers(tmp_path, value):
    folder = report(tmp_path / "a", f'{{"per_image": {{"x": {{"pq": 1}}, "y": {{"pq": {value}}}}}}}')
    with pytest.raises(ValueError, match=r"no finite numbers \(1, first y: pq\)"):
        read_per_image(folder)


@pytest.mark.parametrize(
    "text",
    [
        *("[]", "{}", "3", "", "{", '{"per_image": []}', '{"per_image": {"a": 3}}', "[" * 100_000),
        *(f'{{"per_image": {{"a": {{"pq": {value}}}}}}}' for value in ('"x"', "true", "1" + "0" * 400)),
    ],
)
def test_no_report(tmp_path, text):
    with pytest.raises(ValueError, match="is no report of `coseg evaluate`"):
        read_per_image(report(tmp_path / "a", text))


def test_a_former_report_of_an_image_that_a_mac_named(tmp_path):
    a, b = report(tmp_path / "a", {"a\u0308": {"pq": 0.5}}), report(tmp_path / "b", {"\u00e4": {"pq": 1}})
    [pq] = compare(a, b)
    assert (pq.images, pq.difference) == (1, 0.5)
    assert left_out(a, b) == []


def test_two_images_of_one_name(tmp_path):
    folder = report(tmp_path / "a", {"a\u0308": {"pq": 0.5}, "\u00e4": {"pq": 1}})
    with pytest.raises(ValueError, match="has two images that are both called \u00e4; evaluate again"):
        read_per_image(folder)


def test_what_so_few_images_can_say(tmp_path):
    """Four pairs: the best that can happen is that all differ one way, 2 of the 16 outcomes."""
    scores = {name: {"pq": 0.1 * number} for number, name in enumerate("abcd", start=1)}
    better = {name: {"pq": row["pq"] * 2} for name, row in scores.items()}
    [row] = compare(report(tmp_path / "a", scores), report(tmp_path / "b", better))
    assert (row.differing, row.least_p) == (4, 0.125)
    assert row.p_value == pytest.approx(0.125)
    assert "4 images that differ can give no p below 0.12 (pq); 6 can give one below 0.05." in format_differences([row])
    [same] = compare(tmp_path / "a", tmp_path / "a")
    assert "can give" not in format_differences([same])


def test_what_is_left_out(tmp_path):
    a = report(tmp_path / "a", {"x": {"pq": 1, "pq_a": 1}, "y": {"pq": 1}})
    b = report(tmp_path / "b", json.dumps({"per_image": {"x": {"pq": 0}}, "none_found": ["x"]}))
    assert left_out(a, b) == [
        "Images only in A, not compared: y.",
        "Scores only in A, not compared: pq_a.",
        "B found no nuclei at all in 1 images: x.",
    ]
    assert left_out(a, a) == []


def test_distances_of_two_units_are_not_compared(tmp_path):
    """Former reports do not say in which pixels they are: of the network, or of the images."""
    rows = {"x": {"tissue_dice": 1, "tissue_hd": 4, "tissue_hd95": 2}}
    former = report(tmp_path / "former", rows)
    now = report(tmp_path / "now", json.dumps({"per_image": rows, "distances": "pixels of the images"}))
    other = report(tmp_path / "other", json.dumps({"per_image": rows, "distances": "um"}))
    assert [row.name for row in compare(now, now)] == ["tissue_dice", "tissue_hd", "tissue_hd95"]
    assert left_out(now, now) == []
    for a, b in ((former, now), (now, other), (former, former)):
        assert [row.name for row in compare(a, b)] == ["tissue_dice"]
    assert left_out(former, now) == [
        "Not compared: tissue_hd, tissue_hd95, in A in pixels that it does not name, in B in pixels of the images; "
        "evaluate again."
    ]
