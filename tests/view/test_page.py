"""The page in a real browser: what a person does with the mouse, and what stands on the screen afterwards."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from pathlib import Path

import chromium
import pytest
from view_results import KnownService, write_slide_results

pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'coseg-bundle[view]'")
pytestmark = [
    pytest.mark.skipif(chromium.find() is None, reason="no Chromium: apt-get install chromium"),
    pytest.mark.timeout(300),  # a second or two each, unless the machine is busy with something else
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A browser with the page of a generated slide, and of another one."""
    import uvicorn

    from coseg_bundle.view.app import make_app
    from coseg_bundle.view.desk import Desk
    from coseg_bundle.view.results import open_result

    tmp_path = tmp_path_factory.mktemp("page")
    folder = write_slide_results(tmp_path)
    folders = folder, write_slide_results(tmp_path / "other")
    app = make_app([Desk(open_result(one), KnownService) for one in folders], "a-long-token")
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with chromium.Chromium(tmp_path / "profile") as browser:
            browser.address, browser.results = f"http://127.0.0.1:{port}/a-long-token/", folder
            yield browser
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture
def page(shown):
    """The page, just opened; it must not complain."""
    for name in ("regions.geojson", "corrections/patches.json"):
        (shown.results / name).unlink(missing_ok=True)
    shown.messages.clear()
    reopen(shown)
    shown.messages.clear()  # it may have asked whether to leave what the test before drew
    shown.run("app.camera.scale = 1, app.camera.x = 300, app.camera.y = 200, app.draw()")
    shown.wait("app.painter.complete && !app.scheduled")
    yield shown
    assert shown.complaints() == []


def reopen(page, query=""):
    """Loads the page, of the first result when not told."""
    page.run("delete document.body.dataset.ready")
    page.open(page.address + query)
    page.wait("document.body.dataset.ready")


def on_screen(page, x, y):
    """Where a point of the image is in the window."""
    box = "document.getElementById('viewer').getBoundingClientRect()"
    left, top = page.run(f"app.camera.toScreen({x}, {y})")
    return left + page.run(f"{box}.x"), top + page.run(f"{box}.y")


def colour_at(page, x, y):
    left, top = page.run(f"app.camera.toScreen({x}, {y})")
    script = (
        f"[...document.getElementById('canvas').getContext('2d').getImageData({round(left)}, {round(top)}, 1, 1).data]"
    )
    return page.run(script)[:3]


def text(page, selector):
    return page.run(f"document.querySelector({json.dumps(selector)}).innerText")


def draw(page, *points):
    page.drag([on_screen(page, *point) for point in (*points, points[0])])


SQUARE = [(220, 120), (420, 120), (420, 320), (220, 320)]  # beside the panel of layers


def test_it_opens_with_all_that_was_found(page):
    assert "24 of 24 shown" in text(page, "#shown")
    assert text(page, "#scale-text") == "50 µm"
    assert page.run("document.getElementById('scale-bar').offsetWidth") == 100
    assert text(page, "#nuclei-legend").split() == ["tumour", "12", "other", "12"]
    assert page.run("document.querySelectorAll('#nuclei-table .row').length") == 24
    assert page.run("[...document.querySelectorAll('.served')].every((one) => !one.hidden)")


def test_a_column_is_asked_for_once(page):
    page.wait("app.nuclei.stored.size === 9")  # seven columns, places and ids
    asked = page.run(
        "performance.getEntriesByType('resource').map((one) => one.name).filter((name) => name.endsWith('.bin'))"
    )
    assert len([name for name in asked if "/columns/disagreement" in name]) == 1


def test_layers_are_drawn_and_switched(page):
    plain = (235, 200, 220)
    assert colour_at(page, 400, 200) == pytest.approx(plain, abs=6)
    gland = colour_at(page, 200, 200)
    assert gland[0] < plain[0] - 15  # greener
    page.click_on("#show-tissue")
    page.wait("!app.scheduled")
    assert colour_at(page, 200, 200) == pytest.approx(plain, abs=6)
    inside = colour_at(page, 50, 50)
    page.click_on("#show-nuclei")
    page.wait("!app.scheduled")
    assert colour_at(page, 50, 50) == pytest.approx((90, 50, 140), abs=12)
    assert inside != colour_at(page, 50, 50)
    page.click_on("#show-image")
    page.wait("!app.scheduled")
    assert colour_at(page, 50, 50) == [255, 255, 255]


def test_moved_and_zoomed(page):
    x, y = on_screen(page, 300, 200)
    page.drag([(x, y), (x + 30, y + 20), (x + 60, y + 40)])
    assert on_screen(page, 300, 200) == pytest.approx((x + 60, y + 40))
    page.wheel(x, y, -300)
    page.wait("app.camera.scale === 2")
    page.mouse("mouseMoved", *on_screen(page, 310, 210))
    assert text(page, "#position") == "155.0, 105.0 µm"
    page.key("0")
    page.wait("app.camera.x === 300 && app.camera.y === 200")


def test_a_click_on_a_nucleus_shows_its_row_and_back(page):
    page.click(*on_screen(page, 151, 52))
    page.wait("document.querySelector('.row.chosen')")
    assert text(page, ".row.chosen").split()[:3] == ["2", "36", "other"]
    page.click_on(".row[data-row='15']")
    page.wait("app.painter.chosen === 15")
    assert page.run("[app.camera.x, app.camera.y]") == [350, 250]
    page.click(*on_screen(page, 300, 200))  # nothing there
    assert page.run("app.painter.chosen") == -1
    assert not page.run("document.querySelector('.row.chosen')")


def test_the_table_is_sorted_with_unknown_ones_last(page):
    page.run("app.table.columns.find((one) => one.name === 'disagreement').button.click()")
    page.wait("app.table.sortedBy === 'disagreement' && app.table.order[0] === 23")
    assert page.run("[...app.table.order].slice(-2)") == [0, 3]
    page.run("app.table.columns.find((one) => one.name === 'disagreement').button.click()")
    page.wait("app.table.order[0] === 0")
    assert page.run("[...app.table.order].slice(-2)") == [23, 3]


def test_a_part_of_the_histogram_filters(page):
    page.run("document.getElementById('histogram-of').value = 'disagreement'; app.drawHistogram()")
    box = "document.getElementById('histogram').getBoundingClientRect()"
    left, top, width = (page.run(f"{box}.{side}") for side in ("x", "y", "width"))
    page.drag([(left + width * 0.5, top + 40), (left + width * 0.8, top + 40), (left + width * 1.2, top + 40)])
    page.wait("document.getElementById('shown').textContent.startsWith('12 of 24')")
    page.click_on("#clear-filter")
    page.wait("document.getElementById('shown').textContent.startsWith('24 of 24')")


def test_classes_are_hidden_and_columns_coloured(page):
    page.click_on("#nuclei-legend input")
    page.wait("document.getElementById('shown').textContent.startsWith('12 of 24')")
    page.run("document.getElementById('colour-by').value = 'nuclei_prob'")
    page.run("document.getElementById('colour-by').dispatchEvent(new Event('change'))")
    page.wait("document.querySelector('.ramp')")
    assert page.run("new Set(app.nuclei.colours).size") == 2  # hidden, and one value


def test_a_region_is_drawn_measured_saved_and_loaded(page):
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("document.querySelector('#region-list table')")
    cells = text(page, "#region-list table").split()
    assert cells[cells.index("all") + 1] == "4"
    page.click_on("#save-regions")
    page.wait("document.getElementById('status').textContent.startsWith('Saved 1 regions')")
    [saved] = json.loads((page.results / "regions.geojson").read_text())["features"]
    assert saved["properties"]["measurements"]["Nuclei"] == 4
    reopen(page)
    page.wait("document.querySelector('#region-list table')")
    assert "region 1" in page.run("document.querySelector('#region-list input').value")


def test_what_is_said_of_the_network_stands_under_the_image(page, monkeypatch):
    monkeypatch.setattr("coseg_bundle.view.desk.Desk.notes", lambda desk: ["Others answer.", "So it is."])
    page.click_on("[data-tool=correct]")
    page.wait("document.getElementById('notes').textContent === 'Others answer. So it is.'")


def test_a_later_look_at_a_frame_leaves_the_last_word(page):
    page.click_on("[data-tool=correct]")
    page.wait("document.getElementById('status').textContent.startsWith('The network knows the frame')")
    page.run("app.say('Saved.'), app.pen.looked = 'elsewhere', app.pen.look()")
    page.run(
        "window.said = '', app.pen.queue.then(() => { window.said = document.getElementById('status').textContent; })"
    )
    page.wait("window.said")
    assert page.run("window.said") == "Saved."


def test_a_correction_changes_nuclei_and_numbers_and_is_undone(page):
    page.click_on("[data-tool=correct]")
    page.wait("document.getElementById('status').textContent.startsWith('The network knows the frame')")
    page.run("app.camera.scale = 1, app.camera.x = 300, app.camera.y = 200, app.draw()")
    draw(page, (320, 40), (500, 40), (500, 300), (320, 300))
    page.wait("app.pen.patches.length === 1 && document.querySelector('#correction-list table')")
    assert "24 → 1" in text(page, "#correction-list table")
    page.wait("app.painter.complete && !app.scheduled && app.nuclei.standing.reduce((a, b) => a + b) === 1")
    tissue = "document.querySelector('#tissue-table .rows').textContent"
    page.wait(f"{tissue} === 'gland0.012'")  # 180 x 260 px of 0.5 um
    plain = (235, 200, 220)
    assert colour_at(page, 200, 200) == pytest.approx(plain, abs=6)  # was gland
    assert colour_at(page, 400, 150)[0] < plain[0] - 15  # is gland
    page.key("b")
    page.wait("app.nuclei.standing.reduce((a, b) => a + b) === 24 && !app.scheduled")
    page.wait(f"{tissue} === 'gland0.030'")
    assert colour_at(page, 200, 200)[0] < plain[0] - 15
    page.click_on("#compare [data-after=true]")
    page.wait("app.nuclei.standing.reduce((a, b) => a + b) === 1")
    page.click_on("#save-corrections")
    page.wait("document.getElementById('status').textContent.startsWith('Saved: slide.tif/corrections/label.geojson')")
    assert (page.results / "corrections" / "training" / "datalist.json").is_file()
    reopen(page)
    page.wait("app.nuclei.standing.reduce((a, b) => a + b) === 1")
    page.click_on("[data-tab=corrections]")
    page.click_on("#undo")
    page.wait("app.pen.patches.length === 0 && app.nuclei.standing.reduce((a, b) => a + b) === 24")
    page.click_on("#redo")
    page.wait("app.pen.patches.length === 1 && app.nuclei.standing.reduce((a, b) => a + b) === 1")
    page.wait("document.getElementById('redo').disabled")
    page.click_on("#undo")
    page.wait("app.pen.patches.length === 0 && !document.getElementById('redo').disabled")
    page.wait("!document.getElementById('save-corrections').disabled")  # that there are none any more
    page.click_on("#save-corrections")
    page.wait("document.getElementById('status').textContent.startsWith('Saved: there are no corrections')")
    assert not (page.results / "corrections" / "patches.json").exists()


def test_a_nucleus_is_drawn_over_the_frame_drawn_anew_and_erased(page):
    page.run("app.about.correct = 200, app.draw()")  # the frame is 200, 100 to 400, 300
    page.click_on("[data-tool=correct]")
    page.click_on("[data-brush='nuclei:other']")
    page.wait("app.pen.looked === '200,100,200,200'")
    draw(page, (370, 180), (430, 180), (430, 220), (370, 220))
    page.wait("app.pen.patches.length === 1")
    assert page.run("app.pen.patches[0].box") == [200, 100, 230, 200]
    assert page.run("app.pen.patches[0].points.filter(([x, y]) => x === 400 && y === 200).length") == 1
    draw(page, (375, 185), (425, 185), (425, 215), (375, 215))
    page.wait("app.pen.patches.length === 2")
    assert page.run("app.pen.patches[1].points.filter(([x]) => x > 370).length") == 1
    page.click_on("[data-brush='nuclei:']")
    draw(page, (395, 195), (405, 195), (405, 205), (395, 205))
    page.wait("app.pen.patches.length === 3")
    assert page.run("app.pen.patches[2].points.filter(([x]) => x > 370).length") == 0
    for count in (2, 1, 0):
        page.run("app.pen.undo()")
        page.wait(f"app.pen.patches.length === {count}")


def ask(page, method, path, content):
    """What another window asks the same server."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(page.address + path, json.dumps(content).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def test_what_another_window_drew_is_kept_and_shown(page):
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("document.querySelector('#region-list table')")
    square = {"type": "Polygon", "coordinates": [[[0, 0], [90, 0], [90, 90], [0, 90], [0, 0]]]}
    theirs = {"type": "Feature", "geometry": square, "properties": {"name": "theirs"}}
    ask(page, "PUT", "0/regions.json", {"type": "FeatureCollection", "features": [theirs]})
    page.click_on("#save-regions")
    page.wait("document.getElementById('status').textContent.includes('look, and save again')")
    assert page.run("app.pen.regions.map((one) => one.name)") == ["theirs", "region 1"]
    page.click_on("#save-regions")
    page.wait("document.getElementById('status').textContent.startsWith('Saved 2 regions')")
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    request = {"box": [0, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": half}
    ask(page, "POST", "0/correct", request)
    page.run("app.pen.save()")
    page.wait("document.getElementById('status').textContent.includes('changed in another window')")
    page.wait("app.pen.patches.length === 1 && document.querySelector('#correction-list table')")
    ask(page, "POST", "0/undo", {})
    page.run("window.dispatchEvent(new Event('focus'))")
    page.wait("app.pen.patches.length === 0")
    page.messages.clear()  # the browser logs refused requests


def test_regions_follow_before_and_after(page):
    half = {"type": "Polygon", "coordinates": [[[0, 0], [100, 0], [100, 200], [0, 200], [0, 0]]]}
    ask(page, "POST", "0/correct", {"box": [0, 0, 600, 400], "task": "tissue", "name": "gland", "drawn": half})
    reopen(page)
    page.wait("app.pen.patches.length === 1 && document.querySelector('#correction-list table')")
    assert "24 → 1" in page.run("document.querySelector('#correction-list table').textContent")  # after a reload too
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("app.pen.regions.length === 1")
    assert page.run("app.pen.regions[0].found.all.count") == 1
    page.key("b")
    page.wait("app.pen.regions[0].found.all.count === 4")
    page.run("app.pen.undo()")
    page.wait("app.pen.patches.length === 0 && app.pen.regions[0].found.all.count === 4")


def test_leaving_with_something_unsaved_is_asked_about(page):
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("app.pen.regions.length === 1")
    asked = "window.dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert page.run(asked) is False
    page.click_on("#save-regions")
    page.wait("document.getElementById('status').textContent.startsWith('Saved 1 regions')")
    assert page.run(asked) is True
    page.click_on("#region-list .title button")
    assert page.run(asked) is False
    page.click_on("#save-regions")
    page.wait("document.getElementById('status').textContent.startsWith('Saved 0 regions')")


def test_saved_regions_whose_numbers_were_corrected_are_saved_again(page):
    """They kept the former numbers, and nothing said so."""
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("app.pen.regions.length === 1")
    page.click_on("#save-regions")
    page.wait("document.getElementById('save-regions').disabled")
    page.click_on("[data-tool=correct]")
    page.click_on("[data-brush='nuclei:']")
    page.run("app.camera.scale = 1, app.camera.x = 300, app.camera.y = 200, app.draw()")
    draw(page, (240, 140), (260, 140), (260, 160), (240, 160))
    page.wait("app.pen.patches.length === 1 && !document.getElementById('save-regions').disabled")
    page.run("app.pen.save()")
    page.wait("document.getElementById('save-corrections').disabled")
    assert page.run("window.dispatchEvent(new Event('beforeunload', { cancelable: true }))") is False
    page.key("b")
    page.wait("app.pen.regions[0].found.all.count === 4")
    assert not page.run("document.getElementById('save-regions').disabled")  # looking at it before changes nothing
    page.key("b")
    page.wait("app.pen.regions[0].found.all.count === 1")
    page.run("app.pen.undo()")
    page.wait("app.pen.patches.length === 0 && document.getElementById('save-regions').disabled")
    page.run("app.pen.redo()")
    page.wait("app.pen.patches.length === 1 && !document.getElementById('save-regions').disabled")
    page.run("app.pen.save()")
    page.wait("app.pen.isSaved")
    reopen(page)
    page.wait("app.pen.regions.length === 1 && !document.getElementById('save-regions').disabled")
    page.run("app.pen.saveRegions()")
    page.wait("document.getElementById('save-regions').disabled && app.pen.allSaved")
    [saved] = json.loads((page.results / "regions.geojson").read_text())["features"]
    assert saved["properties"]["measurements"]["Nuclei"] == 1
    page.run("app.pen.undo(), app.pen.save()")
    page.wait("app.pen.patches.length === 0 && app.pen.isSaved")


def test_numbers_of_a_limited_run_are_not_compared(page):
    feature = {"geometry": {"type": "Polygon", "coordinates": []}, "properties": {"measurements": {"Nuclei": 3}}}
    for fixed, saved in ((True, {}), (False, {"Nuclei": 3})):
        assert page.run(f"regionsOf({json.dumps({'features': [feature], 'fixed': fixed})})[0].saved") == saved
    feature["properties"]["measurements"] = [{"name": "Nuclei", "value": 3}]  # as QuPath wrote them before
    assert page.run(f"regionsOf({json.dumps({'features': [feature]})})[0].saved") == {"Nuclei": 3}


def test_what_is_downloaded_is_what_is_shown(page):
    page.run("window.made = [], window.click = HTMLAnchorElement.prototype.click, 1")
    page.run(
        "HTMLAnchorElement.prototype.click = function () { made.push(this.getAttribute('href'), this.download); }, 1"
    )
    page.run("source.send = (...of) => { made.push(of[1]); return Source.prototype.send.apply(source, of); }, 1")
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("app.pen.regions.length === 1")
    page.run("app.pen.brush = { task: 'nuclei', name: '' }, app.pen.correct(app.pen.regions[0].geometry), 1")
    page.wait("app.pen.patches.length === 1 && app.pen.regions[0].found.all.count === 0")
    for query, word in (("", ""), ("?before", " before")):
        page.run("made.length = 0, document.getElementById('downloads').click()")
        assert page.run("made") == [f"0/nuclei.csv{query}", f"slide.tif{word}.csv"]
        page.run("made.length = 0, document.getElementById('regions-csv').click()")
        page.wait("made.length === 3")
        assert page.run("[made[0], made[2]]") == [f"0/regions.csv{query}", f"regions{word}.csv"]
        page.run("app.compare(false)")
        page.wait("app.pen.regions[0].found.all.count === 4")
    page.run("HTMLAnchorElement.prototype.click = window.click, delete source.send, app.pen.undo(), 1")
    page.wait("app.pen.patches.length === 0")


def test_what_a_correction_may_have_changed_is_shown_as_unknown(page):
    page.run("app.nuclei.fetched('tissue_border_um').then(() => { window.there = true; }), 1")
    page.wait("window.there")
    box = {"type": "Polygon", "coordinates": [[[10, 10], [245, 10], [245, 245], [10, 245], [10, 10]]]}
    ask(page, "POST", "0/correct", {"box": [0, 0, 245, 245], "task": "tissue", "name": "", "drawn": box})
    border = "[...app.nuclei.combined('tissue_border_um')].filter((v, i) => app.nuclei.standing[i] && v !== v).length"
    assert page.run(border) == 0
    page.run("app.pen.meet()")
    page.wait(f"app.pen.patches.length === 1 && {border} > 0")
    assert page.run("[2, 8, 12].map((row) => Number.isNaN(app.nuclei.combined('tissue_border_um')[row]))") == [True] * 3
    page.run("app.compare(false)")
    page.wait(f"!app.nuclei.after && {border} === 0")
    page.run("app.pen.undo()")
    page.wait(f"app.pen.patches.length === 0 && {border} === 0")


def test_a_region_is_as_it_was_measured(page):
    page.click_on("[data-tool=region]")
    draw(page, (220, 120), (420, 320), (420, 120), (220, 320))  # crosses itself
    page.wait("app.pen.regions.length === 1")
    assert page.run("app.pen.regions[0].geometry.type") == "MultiPolygon"
    draw(page, (520, 320), (680, 320), (680, 390), (520, 390))  # over the border
    page.wait("app.pen.regions.length === 2")
    assert page.run("Math.max(...app.pen.regions[1].geometry.coordinates[0].map(([x]) => x))") == 600
    draw(page, (300, 300), (350, 300), (300, 300))
    page.wait("document.getElementById('status').textContent.includes('without area; draw it anew')")
    page.messages.clear()  # the browser logs the refused request


def test_the_keys_are_said(page):
    page.key("?")
    page.wait("document.getElementById('keys').open")
    assert "undo, redo" in text(page, "#keys")
    page.click_on("#keys button")
    page.wait("!document.getElementById('keys').open")


def test_what_goes_wrong_is_said(page):
    page.click_on("[data-tool=region]")
    draw(page, (650, 420), (690, 420), (690, 450))
    page.wait("document.getElementById('status').className === 'error'")
    assert "lies outside the image" in text(page, "#status")
    page.messages.clear()  # the browser logs the refused request


def test_a_click_is_no_drawing(page):
    page.click_on("[data-tool=region]")
    page.click(*on_screen(page, 400, 200))
    assert text(page, "#status") == "Hold the mouse button and draw around something."


def test_nothing_is_left_to_show(page):
    for number in (1, 2):
        page.click_on(f"#nuclei-legend label:nth-child({number}) input")
    page.wait("document.querySelector('#shown').innerText === '0 of 24 shown'")
    assert text(page, "#nuclei-table .none") == "There is nothing to show."


HOLD = "app.pen.queued('', () => new Promise((go) => { window.go = go; })), 1"
"""Something that the page is busy with, until `go` is called: the network takes seconds."""


def choose(page, *numbers):
    select = "const select = document.getElementById('result'); "
    chosen = "".join(f"select.value = '{n}'; select.dispatchEvent(new Event('change')); " for n in numbers)
    page.run(f"(() => {{ {select}{chosen} }})()")


def questions(page):
    return [one["params"]["message"] for one in page.messages if one.get("method") == "Page.javascriptDialogOpening"]


def test_another_result_is_opened_on_agreement(page):
    """A correction that waited for the network was answered in the result that was chosen meanwhile."""
    page.click_on("[data-tool=correct]")
    page.run("app.pen.queue")
    page.run(HOLD)
    draw(page, (320, 40), (500, 40), (500, 300), (320, 300))
    choose(page, 1)  # the browser agrees
    page.wait("document.body.dataset.ready === '1'")
    assert questions(page) == ["What you drew is not saved. Open another result all the same?"]
    assert page.run("[app.base, document.getElementById('result').value]") == ["1", "1"]
    for number in (0, 1):
        assert page.run(f"source.json('{number}/edits.json')")["patches"] == []


def test_the_result_that_was_chosen_last_is_opened(page):
    """Whichever answered last was on show, with the numbers of the other one."""
    choose(page, 1, 0, 1)
    page.wait("document.body.dataset.ready === '1'")
    assert (page.run("app.base"), questions(page)) == ("1", [])
    choose(page, 0, 1)
    page.run("source.json('state.json').catch(() => {})")  # 404, after the others
    assert page.run("app.base") == "1"
    assert text(page, "#status") == ""
    page.messages.clear()  # the browser logs it


def test_a_result_that_cannot_be_opened_leaves_the_page(page):
    page.run("document.getElementById('result').append(new Option('gone', '7')), 1")
    choose(page, 7)
    page.wait("document.getElementById('status').textContent === 'There is no result 7.'")
    assert page.run("[app.base, document.getElementById('result').value]") == ["0", "0"]
    page.messages.clear()  # the browser logs the refused request


def test_undo_and_redo_wait_for_their_turn(page):
    """They were looked up when they were pressed: nothing was there to undo while the network answered."""
    page.click_on("[data-tool=correct]")
    page.run("app.pen.queue")
    page.run(HOLD)
    draw(page, (320, 40), (500, 40), (500, 300), (320, 300))
    page.run("app.pen.undo(), go()")
    page.run("app.pen.queue")
    assert page.run("[app.pen.patches.length, app.pen.undone]") == [0, 1]
    page.run("app.pen.redo(), app.pen.undo(), app.pen.redo()")
    page.run("app.pen.queue")
    assert page.run("[app.pen.patches.length, app.pen.undone]") == [1, 0]
    page.run("app.pen.redo()")
    page.run("app.pen.queue")
    assert text(page, "#status") == "The correction is made anew."
    page.run("app.pen.undo()")


def test_a_stroke_is_given_up_with_its_tool(page):
    """A region became a correction."""
    page.click_on("[data-tool=region]")
    corners = [on_screen(page, *point) for point in SQUARE]
    page.mouse("mousePressed", *corners[0], clickCount=1)
    for corner in corners[1:]:
        page.mouse("mouseMoved", *corner, held=1)
    page.key("m")
    page.mouse("mouseReleased", *corners[-1], clickCount=1)
    assert page.run("[app.tool, app.pen.waiting, app.pen.regions.length, app.pen.patches.length]") == ["move", 0, 0, 0]


def test_a_nucleus_that_was_drawn_is_seen_whatever_the_histogram_filters(page):
    page.run("app.nuclei.filter = ['disagreement', 0.5, Infinity], app.recolour()")
    page.wait("document.getElementById('shown').textContent.startsWith('12 of 24')")
    page.click_on("[data-tool=correct]")
    page.click_on("[data-brush='nuclei:other']")
    draw(page, (260, 80), (280, 80), (280, 100), (260, 100))
    page.wait("app.pen.patches.length === 1 && app.pen.waiting === 0")
    drawn = page.run("app.pen.patches[0].points.findIndex(([x, y]) => x === 270 && y === 90)")
    assert page.run(f"app.nuclei.colours[app.nuclei.count + {drawn}]") != 0
    page.run("app.pen.undo()")


def test_a_column_that_comes_late_does_not_colour_by_itself(page):
    """Of two columns chosen in a row the one that came last coloured the nuclei, beside the legend of the other."""
    page.wait("app.nuclei.stored.size === 9")
    colours = page.run("[...app.nuclei.colours]")
    page.run("app.nuclei.stored.delete('disagreement'), 1")
    page.run("app.nuclei.coming.set('disagreement', new Promise((go) => { window.go = go; })), 1")
    page.run("app.nuclei.colourBy = 'disagreement', window.late = app.recolour(), 1")
    page.run("app.nuclei.colourBy = 'type', app.recolour()")
    page.run("app.nuclei.stored.set('disagreement', new Float32Array(24)), go(), late")
    assert page.run("[...app.nuclei.colours]") == colours


def test_a_click_is_in_an_outline(page):
    """In a nucleus of 76 px, 37 px from its middle: the one 15 px beside it was chosen. A ring by hand goes first."""
    ring = "Float32Array.of(9, 9, 0, 0, 10, 0, 10, 10, 9, 9)"
    assert page.run(f"[[5, 2], [2, 5], [11, 5]].map(([x, y]) => holds({ring}, 1, 4, x, y))") == [True, False, False]
    page.wait("app.painter.complete")
    page.click(*on_screen(page, 165, 50))  # no nucleus
    assert page.run("app.painter.chosen") == -1
    page.click_on("[data-tool=correct]")
    page.click_on("[data-brush='nuclei:other']")
    draw(page, (160, 42), (236, 42), (236, 58), (160, 58))
    page.wait("app.pen.patches.length === 1 && app.pen.waiting === 0")
    page.click_on("[data-tool=move]")
    page.click(*on_screen(page, 235, 50))
    row = "app.painter.chosen - app.nuclei.count"
    assert page.run(f"app.pen.patches[0].points[{row}]") == [198, 50]
    page.run("app.pen.undo()")


def test_numbers_that_read_the_same_did_not_change(page):
    part = "({ name: 'gland', count: 1, share: 1, area_mm2: %s })"
    shown = "numbersTable({ area_mm2: 1, tissue: [" + part + "] }, { tissue: [" + part + "] }).textContent"
    assert page.run(shown % (0.00341, 0.00339)) == "in tissuemm²gland0.0034"
    assert page.run(shown % (0.00341, 0.00331)) == "in tissuemm²gland0.0033 → 0.0034"


def test_numbers_of_earlier_corrections_stay_after_a_reload(page):
    """The page measured before and after all corrections, for each of them."""
    for left in (0, 300):
        half = {
            "type": "Polygon",
            "coordinates": [[[left, 0], [left + 50, 0], [left + 50, 200], [left, 200], [left, 0]]],
        }
        request = {"box": [left, 0, 200, 200], "task": "tissue", "name": "gland", "drawn": half}
        ask(page, "POST", "0/correct", request)
    erased = {"box": [0, 0, 200, 200], "task": "nuclei", "name": "", "drawn": half}
    erased["drawn"] = {"type": "Polygon", "coordinates": [[[90, 90], [110, 90], [110, 110], [90, 110], [90, 90]]]}
    ask(page, "POST", "0/correct", erased)
    reopen(page)
    counts = page.run("app.pen.patches.map(({ before, after }) => [before.all.count, after.all.count])")
    assert counts == [[4, 1], [4, 1], [1, 0]]
    for _ in range(3):
        ask(page, "POST", "0/undo", {})


def test_a_border_of_tissue_lies_inside_it(page):
    """A correction's regions were edged on both sides, the last one over its neighbours."""
    page.click_on("[data-tool=correct]")
    page.run("app.camera.scale = 1, app.camera.x = 300, app.camera.y = 200, app.draw()")
    draw(page, (320, 40), (500, 40), (500, 300), (320, 300))
    page.wait("app.pen.patches.length === 1 && app.pen.waiting === 0")
    page.click_on("[data-tool=move]")
    page.run("app.camera.scale = 8, app.camera.x = 320 + app.camera.width / 2 % 1 / 8, app.camera.y = 170, app.draw()")
    page.wait("app.painter.complete && !app.scheduled")
    beside, border, inside = (colour_at(page, x, 170) for x in (319.9, 320.05, 322))
    assert beside == pytest.approx((235, 200, 220), abs=6)
    assert border[0] < inside[0] - 15
    page.run("app.pen.undo()")


@pytest.mark.parametrize(
    ("there", "here", "stands"),
    [
        ("ab", "ab", "ab"),
        ("abc", "ab", "abc"),  # drawn there
        ("ab", "abc", "abc"),  # drawn here
        ("a", "abc", "ac"),  # removed there: it came back
        ("abc", "a", "ac"),  # removed here
        ("ab", "Ab", "Ab"),  # named here: the name was lost
        ("Ab", "ab", "Ab"),  # named there
        ("b", "Ab", "bA"),  # named here and removed there
        ("Ab", "b", "Ab"),  # the other way round
        ("ab", "abA", "abA"),  # drawn here, where another one lies already
    ],
)
def test_what_two_windows_did_to_regions_is_put_together(page, there, here, stands):
    """Letters are places, and capital ones names that were given anew; both knew a and b."""
    regions = [
        f"[...'{those}'].map((name) => ({{ name, geometry: name.toLowerCase() }}))" for those in ("ab", there, here)
    ]
    assert page.run(f"merged({', '.join(regions)}).map(({{ name }}) => name).join('')") == stands


def test_a_region_that_another_window_removed_does_not_come_back(page):
    page.click_on("[data-tool=region]")
    for left in (220, 320):
        draw(page, (left, 120), (left + 90, 120), (left + 90, 320), (left, 320))
        page.wait("app.pen.waiting === 0")
    page.click_on("#save-regions")
    page.wait("document.getElementById('save-regions').disabled")
    draw(page, (420, 120), (490, 120), (490, 320), (420, 320))
    page.wait("app.pen.regions.length === 3 && app.pen.waiting === 0")
    page.run(
        "const one = document.querySelector('#region-list .card:last-child input'); "
        "one.value = 'hot spot', one.oninput()"
    )
    saved = page.run("source.json('0/regions.json')")
    ask(page, "PUT", "0/regions.json", {**saved, "features": saved["features"][:1]})
    page.run("app.pen.meet()")
    page.wait("document.getElementById('status').textContent.includes('with what you changed here')")
    page.click_on("#save-regions")
    page.wait("document.getElementById('status').textContent.startsWith('Saved 2 regions')")
    names = [
        one["properties"]["name"] for one in json.loads((page.results / "regions.geojson").read_text())["features"]
    ]
    assert names == ["hot spot", "region 3"]


def test_a_name_that_is_typed_while_regions_are_saved_is_not_saved(page):
    page.click_on("[data-tool=region]")
    draw(page, *SQUARE)
    page.wait("app.pen.regions.length === 1")
    page.run(
        "window.real = source.send, source.send = async (...of) => { const found = await real.apply(source, of);"
        " app.pen.regions[0].name = 'later'; return found; }, app.pen.saveRegions(), app.pen.queue"
    )
    assert page.run("[app.pen.regionsSaved, app.pen.regions[0].name]") == [False, "later"]
    page.run("delete source.send, app.pen.saveRegions(), app.pen.queue")
    assert page.run("app.pen.regionsSaved")


def test_a_name_that_is_typed_goes_on_while_regions_are_listed_anew(page):
    """An answer that came took the focus, and the rest of the name ran as shortcuts."""
    geometry = "{ type: 'Polygon', coordinates: [[[0, 0], [9, 0], [9, 9], [0, 0]]] }"
    page.run(
        f"app.pen.regions = [1, 2].map((n) => ({{ name: `region ${{n}}`, saved: {{}}, geometry: {geometry} }})),"
        " app.pen.list(), app.setTab('regions')"
    )
    page.click_on("#region-list .card:last-child input")
    page.run("document.activeElement.select()")
    for letter in "rim":
        page.key(letter)
        page.run("app.pen.list()")
    assert page.run("[app.pen.regions[0].name, document.activeElement.value, app.tool]") == ["rim", "rim", "move"]
    page.click_on("#region-list .card:first-child input")  # straight into the next one
    page.run("document.activeElement.select()")
    page.key("c")
    assert page.run("[...app.pen.regions.map((one) => one.name), app.tool]") == ["rim", "c", "move"]
    page.run("document.querySelector('#region-list .card:first-child input').focus()")
    page.click_on("#region-list .card:last-child button")
    assert page.run("app.pen.regions.map((one) => one.name)") == ["c"]
    page.run("app.pen.regions = [], app.pen.list()")


def test_a_region_is_taken_back_and_no_correction(page):
    """Ctrl+Z took a correction back, which nobody saw, while regions were drawn."""
    page.run("window.undone = 0, app.pen.undo = () => undone++, 1")
    page.click_on("[data-tool=region]")
    for number in (1, 2):
        draw(page, *SQUARE)
        page.wait(f"app.pen.regions.length === {number}")
    page.click_on("#region-list .card:last-child button")  # the first one is removed
    names = "app.pen.regions.map((one) => one.name)"
    event = "new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true })"
    undo = f"document.body.dispatchEvent({event}), 1"
    for stand in (["region 1", "region 2"], ["region 1"], [], []):
        page.run(undo)
        page.wait(f"JSON.stringify({names}) === '{json.dumps(stand, separators=(',', ':'))}'")
    assert page.run("undone") == 0
    page.run("app.setTab('corrections')")
    page.run(undo)
    assert page.run("undone") == 1
    page.run("delete app.pen.undo, app.setTool('move')")


def test_regions_that_cannot_be_read_stop_nothing_else(page):
    (page.results / "regions.geojson").write_text("[")
    reopen(page)
    assert "24 of 24 shown" in text(page, "#shown")
    assert "regions.geojson is no GeoJSON of polygons" in text(page, "#notes")
    (page.results / "regions.geojson").unlink()
    page.messages.clear()


def test_keys_work_after_a_checkbox_was_ticked(page):
    for control in ("#show-tissue", "#tissue-opacity"):
        page.run(f"document.querySelector('{control}').focus()")
        page.key("r")
        assert page.run("app.tool") == "region"
        page.key("m")
        assert page.run("app.tool") == "move"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("Promise.reject(new TypeError())", "coseg view does not answer: it was stopped. Start it again"),
        ("Promise.resolve(new Response('<html>', { status: 502 }))", "The server answered 502."),
    ],
)
def test_no_answer_is_said(page, answer, sentence):
    page.run(f"window.real = window.fetch, window.fetch = () => {answer}, app.pen.saveRegions(), 1")
    page.wait("document.getElementById('status').className === 'error'")
    page.run("window.fetch = window.real, 1")
    assert sentence in text(page, "#status")


def test_from_afar_nuclei_are_points(page):
    page.run("app.camera.scale = 0.3, app.draw()")
    page.wait("app.painter.complete && !app.scheduled")
    red = page.run("app.nuclei.colours[0]")
    assert colour_at(page, 50, 50) != [255, 255, 255]
    assert red >> 24 & 255 == 255


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    from coseg_bundle.view.desk import Desk
    from coseg_bundle.view.export import export_page
    from coseg_bundle.view.results import open_result

    folder = tmp_path_factory.mktemp("exported")
    result = open_result(write_slide_results(folder))
    square = {"type": "Polygon", "coordinates": [[*map(list, SQUARE), list(SQUARE[0])]]}
    feature = {"type": "Feature", "geometry": square, "properties": {"name": "a region"}}
    Desk(result).save_regions({"type": "FeatureCollection", "features": [feature]})
    [page] = export_page([result], folder / "page")
    return page


def test_an_exported_page_opens_from_the_disk(shown, exported: Path):
    shown.messages.clear()
    shown.open(exported.as_uri())
    shown.wait("document.body.dataset.ready === '0'")
    shown.run("app.camera.scale = 2, app.draw()")
    shown.wait("app.painter.complete && !app.scheduled")
    assert "24 of 24 shown" in text(shown, "#shown")
    assert shown.run("[...app.nuclei.cells.values()].reduce((sum, cell) => sum + cell.rows.length, 0)") == 24
    assert shown.run("[...document.querySelectorAll('.served')].every((one) => one.hidden)")
    assert shown.run("[...app.painter.image.tiles.values()].some((tile) => tile.ready && !tile.empty)")
    shown.click(*on_screen(shown, 250, 150))
    shown.wait("app.painter.chosen === 8")
    assert not [word for word in shown.complaints() if "ERR_FILE_NOT_FOUND" not in word]  # an empty tile


def test_saved_regions_of_an_exported_page_have_names_and_numbers(shown, exported: Path):
    """Their outlines had none."""
    shown.open(exported.as_uri())
    shown.wait("document.body.dataset.ready === '0'")
    shown.click_on("[data-tab=regions]")
    assert shown.run("document.querySelector('#region-list input').value") == "a region"
    words = text(shown, "#region-list table").split("\n")
    assert {"Area mm2\t0.010", "Nuclei\t4", "tumour: nuclei\t2"} <= {word.strip() for word in words}
    assert shown.run("document.querySelector('#region-list input').readOnly")
    assert shown.run("document.querySelector('#region-list button').hidden")
    shown.messages.clear()  # an empty tile


def test_a_file_of_an_exported_page_is_missing(shown, exported: Path):
    (exported.parent / "0" / "columns" / "xy.bin.js").rename(exported.parent / "elsewhere")
    shown.open(exported.as_uri())
    shown.wait("document.getElementById('status').className === 'error'")
    assert text(shown, "#status") == "0/columns/xy.bin is missing; export the page again."
    (exported.parent / "elsewhere").rename(exported.parent / "0" / "columns" / "xy.bin.js")
    shown.messages.clear()
