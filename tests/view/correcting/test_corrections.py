from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import shapely
from view_results import places, ring

from coseg_bundle.data.annotations import read_annotations
from coseg_bundle.data.datalist import load_datalist
from coseg_bundle.data.images import read_label
from coseg_bundle.view.correcting.corrections import ChangedElsewhereError, Corrections
from coseg_bundle.view.correcting.patches import Drawing, Patch, corrected, outline_of
from coseg_bundle.view.desk import Desk
from coseg_bundle.view.results import open_result
from coseg_bundle.writers.corrections import said_of_results

BOX = (0, 0, 200, 200)  # four nuclei, all of it gland


@pytest.fixture
def corrections(result, known_service):
    return Corrections(result, lambda: known_service)


def drawn(task, name, *bounds):
    return Drawing(task, name, shapely.box(*bounds))


def still(segment):
    """The answer of a network that does not listen, about the nuclei whose centroids lie in the box."""

    def answer(image, query):
        found = segment(image, replace(query, correction=None))
        inside = shapely.box(*query.location, *np.add(query.location, query.size))
        return replace(
            found, shapes=tuple(s for s in found.shapes if inside.covers(shapely.Polygon(s.rings_xy[0]).centroid))
        )

    return answer


def test_where_the_run_did_not_look_all_nuclei_of_a_frame_are_new(result, corrections, known_service):
    """Its tissue was, and its nuclei were missing: what was saved taught that there are none."""
    result.seen = shapely.box(0, 0, 600, 100)
    segment = still(known_service.segment)

    def with_more(image, query):
        found = segment(image, query)
        more = [replace(found.shapes[0], rings_xy=(ring(100, y),)) for y in (50, 150)]
        return replace(found, shapes=(*found.shapes, *more))

    known_service.segment = with_more
    patch = corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    found = sorted(map(tuple, patch.population.points_xy.tolist()))
    assert found == [(50, 50), (50, 150), (100, 150), (150, 50), (150, 150)]  # (100, 50) was looked at, and not found
    assert (patch.ids > 0).sum() == 4  # those of the table are none of them


def test_the_answer_takes_the_place_of_what_was_there(result, corrections, known_service):
    patch = corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    silent, query = known_service.queries
    assert silent.correction is None
    assert (query.location, query.size, query.mpp, query.origin) == ((0, 0), (200, 200), 0.5, "bounds")
    [feature] = query.correction["features"]
    assert feature["properties"] == {"objectType": "annotation", "classification": {"name": "gland"}}
    assert patch.population.points_xy.tolist() == [[100, 100]]
    assert patch.values["area_um2"].tolist() == [100]
    assert patch.values["type_prob"].tolist() == pytest.approx([0.8])
    standing, [kept] = corrected(result, corrections.patches)
    assert np.flatnonzero(~standing).tolist() == [0, 1, 6, 7]
    assert kept.tolist() == [True]


def test_numbers_follow(result, known_service):
    desk = Desk(result, lambda: known_service)
    ring_of = [[0, 0], [200, 0], [200, 200], [0, 200], [0, 0]]
    request = {"box": [0, 0, 200, 200], "task": "tissue", "name": "gland"}
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    answer = desk.correct({**request, "drawn": half})
    assert [answer[when]["all"]["count"] for when in ("before", "after")] == [4, 1]
    assert [answer[when]["tissue"][1]["share"] for when in ("before", "after")] == [1, 0.5]
    assert desk.measured({"type": "Polygon", "coordinates": [ring_of]})["all"]["count"] == 1
    desk.corrections.undo()
    assert desk.measured({"type": "Polygon", "coordinates": [ring_of]})["all"]["count"] == 4


def test_later_drawings_win_in_what_the_network_is_told(corrections, known_service):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 100))
    corrections.correct(BOX, drawn("tissue", "", 50, 0, 100, 100))
    corrections.correct(BOX, drawn("nuclei", "tumour", 10, 10, 20, 20))
    first, second, third = known_service.queries[-1].correction["features"]
    assert shapely.geometry.shape(first["geometry"]).bounds == (0, 0, 50, 100)
    assert second["properties"]["classification"]["name"] == "background"
    assert third["properties"] == {"objectType": "detection", "classification": {"name": "tumour"}}


def test_a_drawing_elsewhere_is_not_told(corrections, known_service):
    corrections.correct((400, 200, 200, 200), drawn("tissue", "gland", 450, 250, 500, 300))
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    assert len(known_service.queries[-1].correction["features"]) == 1


def test_a_drawn_nucleus_stands_and_what_lies_under_it_goes(corrections):
    patch = corrections.correct(BOX, drawn("nuclei", "other", 90, 90, 120, 120))
    assert patch.population.points_xy.tolist() == [[105, 105]]
    assert patch.population.types.tolist() == [2]
    assert patch.values["area_um2"].tolist() == [225]
    assert patch.ids.tolist() == [0]
    assert np.isnan(patch.values["nuclei_prob"]).all()


def test_a_nucleus_that_is_drawn_anew_is_counted_once(corrections):
    corrections.correct(BOX, drawn("nuclei", "tumour", 90, 90, 130, 130))
    patch = corrections.correct(BOX, drawn("nuclei", "other", 95, 95, 125, 125))
    assert patch.population.points_xy.tolist() == [[110, 110]]
    assert patch.values["area_um2"].tolist() == [225]
    corrections.save()
    label = read_annotations(corrections.result.folder / "corrections" / "label.geojson")
    assert [(one.name, one.area_px) for one in label.regions if one.kind == "detection"] == [("other", 900)]


def test_a_nucleus_over_the_border_of_the_frame_widens_it(result, corrections):
    patch = corrections.correct((0, 0, 100, 100), drawn("nuclei", "other", 90, 40, 170, 60))
    assert patch.box == (0, 0, 170, 100)
    assert [130, 50] in patch.population.points_xy.tolist()
    assert not corrected(result, corrections.patches)[0][1]  # the table's at 150, 50 lies under it


def test_a_nucleus_that_is_cut_lies_in_the_frame_whole(result, corrections, known_service, monkeypatch):
    monkeypatch.setattr(known_service, "segment", still(known_service.segment))
    first = corrections.correct((0, 0, 140, 140), drawn("nuclei", "other", 120, 48, 147, 60))  # 3 of 12 px at 150, 50
    assert first.box == (0, 0, 156, 140)
    [row] = np.flatnonzero((first.population.points_xy == [150, 50]).all(axis=1))
    assert shapely.Polygon(outline_of(first, row)).area == 144 - 3 * 8
    assert first.population.types[row] == 2
    assert first.ids[row] == 2
    assert first.values["nuclei_prob"][row] == np.float32(0.9)
    assert first.values["area_um2"][row] == (144 - 3 * 8) / 4
    assert np.isnan(first.values["tissue_border_um"][row])  # of the outline that it had


@pytest.mark.parametrize(("task", "name"), [("tissue", "gland"), ("tissue", ""), ("nuclei", "")])
def test_a_stroke_far_over_the_border_ends_where_the_frame_does(result, corrections, known_service, task, name):
    corrections.correct((300, 100, 200, 200), drawn("nuclei", "other", 360, 150, 370, 160))
    patch = corrections.correct((0, 0, 100, 100), drawn(task, name, 10, 10, 400, 240))
    side = 150 if task == "tissue" else 156  # of the nuclei that it touches one lies at 150, 150
    assert patch.box == (0, 0, side, side)
    assert patch.drawing.polygon.bounds == (10, 10, 150, 150)
    assert (360, 150, 370, 160) in [one.polygon.bounds for one in corrections._standing()]  # beyond, nothing changes


def test_what_was_drawn_before_is_not_gone_through_again(result, corrections, known_service, monkeypatch):
    from coseg_bundle.view.correcting import corrections as module

    counted = []
    monkeypatch.setattr(module, "after", lambda *of, after=module.after: counted.append(of) or after(*of))
    for i in range(6):
        corrections.correct(BOX, drawn("nuclei", "other", 20 * i, 0, 20 * i + 9, 9))
    assert len(counted) == 6
    corrections.undo()
    corrections.correct(BOX, drawn("nuclei", "other", 0, 0, 9, 9))
    assert [one.polygon.bounds[0] for one in corrections._standing()] == [20, 40, 60, 80, 0]
    assert len(counted) == 6 + 5 + 1


def test_a_stroke_erases_what_was_drawn(corrections):
    corrections.correct(BOX, drawn("nuclei", "other", 20, 20, 60, 60))
    patch = corrections.correct(BOX, drawn("nuclei", "", 38, 38, 42, 42))
    assert [40, 40] not in patch.population.points_xy.tolist()
    patch = corrections.correct(BOX, drawn("nuclei", "other", 10, 20, 60, 60))  # may be drawn again
    assert [35, 40] in patch.population.points_xy.tolist()


def test_erased_nuclei_are_gone(corrections):
    patch = corrections.correct(BOX, drawn("nuclei", "", 90, 90, 120, 120))
    assert len(patch.population.types) == 0


def test_a_frame_in_which_all_was_erased_teaches_that_there_is_nothing(result, corrections):
    """It was an item without labels."""
    corrections.correct((80, 80, 64, 64), drawn("nuclei", "", 81, 81, 143, 143))
    corrections.save()
    [item] = load_datalist(result.folder / "corrections" / "training" / "datalist.json", "training")
    assert not read_label(item["instances"]).any()
    assert "tissue" not in item


def test_later_boxes_replace_earlier_ones(result, corrections):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    corrections.correct((60, 40, 200, 200), drawn("tissue", "gland", 60, 60, 90, 90))
    standing, [first, second] = corrected(result, corrections.patches)
    assert (first.tolist(), second.tolist()) == ([False], [True])  # 100, 100 lies in the second box
    assert standing.sum() == 24 - 4 - 2


def test_glass_is_no_tissue_unless_it_was_drawn(result, known_service, monkeypatch):
    from coseg_bundle.service.shapes import Answer, Shape

    class Everywhere(type(known_service)):
        def segment(self, image, query):
            found = super().segment(image, query)
            ring_of = np.array([[0, 0], [200, 0], [200, 200], [0, 200]], float)
            return Answer((Shape("tissue", "gland", (0, 160, 135), (ring_of,), 0.9),), found.box, 0.5)

    result.tissue_area = shapely.box(0, 0, 100, 400)  # the rest is glass
    patch = Corrections(result, Everywhere).correct(BOX, drawn("tissue", "gland", 150, 0, 200, 50))
    assert sorted(shapely.Polygon(rings[0]).bounds for _, rings in patch.tissue) == [
        (0, 0, 100, 200),
        (150, 0, 200, 50),
    ]


def test_hairs_along_a_drawing_are_no_tissue(result, known_service, monkeypatch):
    """They were regions of their own, less than a pixel wide, in what is saved."""
    from coseg_bundle.service.shapes import Answer, Shape

    class Beside(type(known_service)):
        def segment(self, image, query):
            found = super().segment(image, query)
            rings = [
                np.array(shapely.box(*box).exterior.coords)[:-1] for box in ((0, 0, 200, 99), (99.6, 99, 200, 200))
            ]
            shapes = tuple(Shape("tissue", "gland", (0, 160, 135), (ring,), 0.9) for ring in rings)
            return Answer(shapes, found.box, 0.5)

    result.tissue_area = shapely.box(0, 0, 100, 400)
    patch = Corrections(result, Beside).correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    assert [shapely.Polygon(rings[0]).bounds for _, rings in patch.tissue] == [(0, 0, 100, 99)]


def test_saved_and_loaded_again(result, corrections, known_service):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    corrections.correct((300, 100, 100, 100), drawn("nuclei", "", 310, 110, 320, 120))
    label, datalist = corrections.save()
    assert corrections.is_saved
    again = Corrections(result, lambda: known_service)
    assert [patch.to_json() for patch in again.patches] == [patch.to_json() for patch in corrections.patches]
    names = sorted(region.name for region in read_annotations(label).regions)
    assert names == ["Region*", "Region*", "gland", "tumour", "tumour"]
    content = json.loads(datalist.read_text())
    assert content["nuclei_classes"] == {"0": "background", "1": "tumour", "2": "other"}
    assert len(content["training"]) + len(content["validation"]) >= 2


def test_a_file_without_ids_is_read(result, corrections, known_service):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    corrections.save()
    file = result.folder / "corrections" / "patches.json"
    [saved] = json.loads(file.read_text())["patches"]
    assert saved.pop("id") == [0]
    file.write_text(json.dumps([saved]))  # a former version's has no mark either
    [patch] = Corrections(result, lambda: known_service).patches
    assert patch.ids.tolist() == [0]


def test_training_data_have_the_resolution_of_the_results(result, known_service):
    """Where it was given to `coseg slide`, the tiles were cut at what the file says, or at the network's."""
    from coseg_bundle.data.images import read_label

    corrections = Corrections(replace(result, mpp=1.0), lambda: known_service)
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    _, datalist = corrections.save()
    [item] = json.loads(datalist.read_text())["training"]
    assert item["mpp"] == 0.5
    assert read_label(datalist.parent / item["tissue"]).shape == (400, 400)


def test_the_label_says_where_it_counts_from(result, known_service):
    """Of a run over the whole glass, training data lay beside what was corrected, by the corner of the scan."""
    for origin in ("bounds", "canvas"):
        corrections = Corrections(replace(result, origin=origin), lambda: known_service)
        corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
        label, *_ = corrections.save()
        assert json.loads(label.read_text())["coseg"] == {"origin": origin, "origin_x_px": 0, "origin_y_px": 0}


def test_the_label_says_what_was_corrected(corrections):
    from coseg_bundle.data.images import read_label

    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    _, datalist = corrections.save()
    [item] = json.loads(datalist.read_text())["training"]
    tissue = read_label(datalist.parent / item["tissue"])
    assert tissue.shape == (200, 200)
    assert (tissue[:, :100] == 1).all()
    assert (tissue[:, 100:] == 0).all()
    assert (read_label(datalist.parent / item["instances"]) > 0).sum() == 400


def test_a_frame_that_was_corrected_again_leaves_nothing_empty(corrections):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    label, _ = corrections.save()
    content = json.loads(label.read_text())
    features = content["features"] if isinstance(content, dict) else content
    assert all(shapely.geometry.shape(feature["geometry"]).area > 0 for feature in features)


def test_all_taken_back_and_saved(result, corrections, known_service):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    corrections.save()
    corrections.undo()
    assert not corrections.is_saved
    corrections.redo()
    assert corrections.is_saved
    corrections.undo()
    assert corrections.save() == []
    assert corrections.is_saved
    assert list((result.folder / "corrections").iterdir()) == []
    assert Corrections(result, lambda: known_service).patches == []


def test_what_another_program_saved_is_left_alone(result, corrections, known_service):
    other = Corrections(result, lambda: known_service)
    other.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    other.save()
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    with pytest.raises(ValueError, match="holds other corrections than those that were opened here"):
        corrections.save()
    assert len(Corrections(result, lambda: known_service).patches[0].drawing.polygon.exterior.coords) == 5
    (result.folder / "corrections").rename(result.folder / "theirs")
    assert corrections.save()


def test_a_newer_revision_is_not_taken_back(corrections):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    with pytest.raises(ChangedElsewhereError, match="Corrections were changed in another window"):
        corrections.undo(seen=0)
    corrections.undo(seen=1)
    assert (corrections.revision, corrections.patches) == (2, [])


def test_nothing_to_save(corrections):
    with pytest.raises(ValueError, match="There are no corrections to save"):
        corrections.save()


def test_redo_is_what_it_was_until_something_new_is_drawn(result, corrections):
    patch = corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    corrections.undo()
    corrections.redo()
    corrections.redo()
    assert corrections.patches == [patch]
    assert corrections.undone == []
    corrections.undo()
    other = corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 60, 60))
    corrections.redo()
    assert corrections.patches == [other]


def test_undo_to_the_beginning(result, corrections):
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    corrections.undo()
    corrections.undo()
    assert corrections.patches == []


@pytest.mark.parametrize(
    ("drawing", "sentence"),
    [
        (drawn("tissue", "cat", 0, 0, 9, 9), r"Unknown class 'cat': expected one of \['gland'\]"),
        (drawn("nuclei", "gland", 0, 0, 9, 9), "Unknown class 'gland'"),
        (drawn("tissue", "gland", 300, 300, 310, 310), "The drawing lies outside the part"),
        (drawn("tissue", "gland", 250, 100, 401, 110), "The drawing lies outside the part"),
        (drawn("nuclei", "", 500, 300, 510, 310), "The drawing lies outside the part"),
        (
            drawn("nuclei", "other", 100, 100, 401, 110),
            "The nucleus reaches too far out of the frame; move the frame there, so that it holds the nucleus",
        ),
        (
            Drawing("nuclei", "other", shapely.Polygon([(0, 0), (9, 0), (0, 0)])),
            "Expected the outline of one nucleus, got one without an area; draw it anew",
        ),
        (
            Drawing("nuclei", "other", shapely.MultiPolygon([shapely.box(0, 0, 9, 9), shapely.box(9, 9, 18, 18)])),
            "Expected the outline of one nucleus, got one that falls into 2 parts; draw them one by one",
        ),
    ],
)
def test_what_cannot_be_drawn(corrections, drawing, sentence):
    with pytest.raises(ValueError, match=sentence):
        corrections.correct(BOX, drawing)
    assert corrections.patches == []


def test_a_network_of_other_classes_is_refused(corrections, known_service, monkeypatch):
    from coseg_bundle.classes import ClassMap

    other = known_service.predictor()
    other.result_classes = ClassMap(("background", "vessel")), other.result_classes[1]
    monkeypatch.setattr(known_service, "predictor", lambda: other)
    with pytest.raises(ValueError, match="give the weights that the results were made with: --weights FILE"):
        corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 9, 9))


def test_a_broken_file_of_corrections_is_left_alone(result, known_service):
    (result.folder / "corrections").mkdir()
    (result.folder / "corrections" / "patches.json").write_text('[{"box": 1}]')
    assert Corrections(result, lambda: known_service).patches == []
    assert "The saved corrections cannot be read" in result.notes[0]
    corrections = Corrections(result, lambda: known_service)
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 50, 50))
    with pytest.raises(ValueError, match="is left alone; move the folder corrections away"):
        corrections.save()


def test_two_who_ask_first_have_the_same_corrections(result, monkeypatch):
    """The second asks while the first still reads what was saved."""
    desk, both, made = Desk(result), threading.Barrier(2), []

    def slow(*_):
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    monkeypatch.setattr("coseg_bundle.view.desk.Corrections", slow)

    def ask(_):
        both.wait()
        return desk.corrections

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(ask, range(2))
    assert first is second
    assert made == [first]


def test_what_is_saved_says_the_summary_of_the_results(result, corrections):
    """By which the script for QuPath knows corrections of other results."""
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    corrections.save()
    summary = json.loads((result.folder / "summary.json").read_text())
    said = json.loads((result.folder / "corrections" / "patches.json").read_text())["summary"]
    assert said == said_of_results(result.folder)
    assert said["nuclei"] == summary["nuclei"]


@pytest.mark.parametrize("failing", [1, 3])
def test_a_save_that_fails_leaves_the_label_as_it_was(corrections, monkeypatch, failing):
    """Written before the training data, our own label was taken for one that a person had changed."""
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    label, datalist, *_ = corrections.save()
    before = label.read_bytes()
    corrections.correct((300, 100, 100, 100), drawn("nuclei", "", 310, 110, 320, 120))
    with monkeypatch.context() as broken:
        broken.setattr("coseg_bundle.service.training_data.prepare", lambda *_: [][0])
        for _ in range(failing):
            with pytest.raises(IndexError):
                corrections.save()
    assert label.read_bytes() == before
    assert corrections.save() == [label, datalist]
    assert label.read_bytes() != before
    assert not list(label.parent.rglob("*former*"))


def made_anew(folder, **said):
    summary = json.loads((folder / "summary.json").read_text())
    (folder / "summary.json").write_text(json.dumps(summary | said, indent=4))


def test_corrections_of_former_results_are_not_applied(result, corrections, known_service):
    folder = result.folder / "corrections"
    corrections.correct(BOX, drawn("nuclei", "", 0, 0, 200, 200))
    corrections.save()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    made_anew(result.folder, weights_sha256="other")
    desk = Desk(open_result(result.folder), lambda: known_service)
    assert desk.edits() == {"revision": 0, "saved": True, "undone": 0, "patches": [], "unknown": {}}
    [note] = desk.about()["notes"]
    assert note.startswith("The saved corrections are of other results than these, which were made anew since")
    standing, _ = corrected(desk.result, desk.corrections.patches)
    assert standing.sum() == 24
    with pytest.raises(ValueError, match="There are no corrections to save"):
        desk.corrections.save()
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_new_corrections_leave_the_former_ones_aside(result, corrections, known_service):
    folder = result.folder / "corrections"
    corrections.correct(BOX, drawn("nuclei", "", 0, 0, 200, 200))
    corrections.save()
    (folder / "notes.txt").write_text("of a person")
    before = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    made_anew(result.folder, weights_sha256="other")
    again = Corrections(open_result(result.folder), lambda: known_service)
    again.correct((300, 100, 100, 100), drawn("nuclei", "", 310, 110, 320, 120))
    again.save()
    former = result.folder / "corrections.former"
    assert {path.relative_to(former): path.read_bytes() for path in former.rglob("*") if path.is_file()} == before
    assert len(json.loads((folder / "patches.json").read_text())["patches"]) == 1
    names = [region.name for region in read_annotations(folder / "label.geojson").regions]
    assert names.count("Region*") == 1
    again.undo()
    assert again.save() == []  # what was saved since
    assert former.is_dir()
    assert len(Corrections(open_result(result.folder), lambda: known_service).patches) == 0


def test_results_that_are_the_same_again_have_their_corrections(result, corrections, known_service):
    corrections.correct(BOX, drawn("nuclei", "", 0, 0, 200, 200))
    corrections.save()
    made_anew(result.folder, seconds=9)
    again = open_result(result.folder)
    assert len(Corrections(again, lambda: known_service).patches) == 1
    assert again.notes == []


def test_other_weights_than_those_of_the_results_are_said_before_and_when_they_correct(result, known_service):
    """Only class names were compared: tissue of another network went into results, labels and training data unsaid."""
    made_anew(result.folder, weights="other.pt", weights_sha256="a" * 64)
    known_service.weights_sha256 = "b" * 64
    desk = Desk(open_result(result.folder), lambda: known_service)
    assert desk.about()["notes"] == []  # the network is loaded when somebody corrects
    [note] = desk.look({"box": [0, 0, 200, 200]})["notes"]
    assert "made with the weights other.pt (SHA-256 aaaaaaaaaaaa)" in note
    assert "known.pt (SHA-256 bbbbbbbbbbbb): what is not drawn in a frame becomes their answer" in note
    assert note.endswith("start it with --weights FILE.")
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    answer = desk.correct({"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": half})
    assert answer["notes"] == desk.about()["notes"] == [note]


@pytest.mark.parametrize(
    ("name", "said", "answering"),
    [
        ("renamed.pt", "a" * 64, "a" * 64),
        ("model.pt", None, "a" * 64),  # of a former version
        ("net.onnx", "b" * 64, "a" * 64),  # that of the exported file
    ],
)
def test_weights_that_are_the_same_or_not_known_are_not_spoken_of(result, known_service, name, said, answering):
    made_anew(result.folder, weights=name, weights_sha256=said)
    known_service.weights_sha256 = answering
    desk = Desk(open_result(result.folder), lambda: known_service)
    assert desk.look({"box": [0, 0, 200, 200]})["notes"] == []


def test_corrections_of_a_former_version_hold_and_it_is_said(result, corrections, known_service):
    corrections.correct(BOX, drawn("nuclei", "", 0, 0, 200, 200))
    corrections.save()
    file = result.folder / "corrections" / "patches.json"
    file.write_text(json.dumps(json.loads(file.read_text())["patches"]))
    again = open_result(result.folder)
    assert len(Corrections(again, lambda: known_service).patches) == 1
    assert again.notes[0].startswith("The saved corrections are applied, but do not say of which results they are")


@pytest.mark.parametrize("all_undone", [False, True])
def test_what_a_person_changed_or_put_there_stays(result, corrections, all_undone):
    """A datalist that was divided, a label that was saved again in QuPath, notes: each save removed them."""
    folder = result.folder / "corrections"
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 100, 200))
    assert len(corrections.save()) == 2
    for name in ("label.geojson", "training/datalist.json", "training/notes.txt", "training/run/000.tif", "my.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("mine")
    if all_undone:
        corrections.undo()
    else:
        corrections.correct(BOX, drawn("nuclei", "", 0, 0, 200, 200))
    files = [str(path.relative_to(folder)) for path in corrections.save()]
    aside = ["label.former.geojson", "training/datalist.former.json"]
    assert files == ([] if all_undone else ["label.geojson", "training/datalist.json"]) + aside
    for name in (*aside, "training/notes.txt", "training/run/000.tif", "my.txt"):
        assert (folder / name).read_text() == "mine"
    left = {path.name for path in folder.rglob("*")} & {"label.geojson", "datalist.json", "patches.json", "000"}
    assert len(left) == (0 if all_undone else 4)
    if not all_undone:
        assert len(corrections.save()) == 2  # nothing was changed since
        assert (folder / "training" / "notes.txt").read_text() == "mine"


def test_a_link_out_of_the_folder_is_not_followed(result, corrections, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (result.folder / "corrections").symlink_to(tmp_path / "elsewhere")
    corrections.correct(BOX, drawn("tissue", "gland", 0, 0, 9, 9))
    with pytest.raises(PermissionError, match="leads out of the folder of results"):
        corrections.save()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_is_no_patch():
    with pytest.raises(ValueError, match="no correction that was saved here"):
        Patch.of_json({"box": [1, 2, 3, 4]})


def test_the_shipped_network_listens(result, bundle_root):
    """Through the service, with the weights that are shipped: what was drawn stands, to the pixel."""
    from coseg_bundle.view.server import service_maker

    desk = Desk(result, service_maker(bundle_root, None, "cpu", None))
    classes = type(result.nuclei_classes)
    result.nuclei_classes = classes(("background", "epithelial", "inflammatory", "spindle", "other"))
    result.tissue_classes = classes(("empty", "gland", "other_tissue"))
    half = {"type": "Polygon", "coordinates": [[[20, 20], [60, 20], [60, 60], [20, 60], [20, 20]]]}
    answer = desk.correct({"box": [0, 0, 128, 128], "task": "tissue", "name": "gland", "drawn": half})
    tissue = np.zeros((128, 128), np.uint8)
    from coseg_bundle.view.correcting.patches import paint_patch

    paint_patch(tissue, desk.corrections.patches[0], 1.0, (0, 0))
    assert (tissue[20:60, 20:60] == 1).all()
    assert answer["patch"]["weights"] == "model.pt"
    assert ring(*places()[0]).shape == (4, 2)
