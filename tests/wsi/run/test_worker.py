import threading
import time

import cv2
import pytest
import standin
from maps import discs

from coseg_bundle.inferers import two_scales
from coseg_bundle.wsi.pipeline import begin_journal
from coseg_bundle.wsi.read.reader import open_slide
from coseg_bundle.wsi.run import worker as workers
from coseg_bundle.wsi.run.journal import Plan
from coseg_bundle.wsi.run.worker import Task, Worker


@pytest.fixture
def folder(tmp_path):
    """A slide's journal; its tiles are done."""
    slide = standin.write_slide(tmp_path / "slide.tif", standin.paint(discs(300, 300, seed=2)))
    folder = tmp_path / "out"
    (folder / ".work").mkdir(parents=True)
    with open_slide(slide) as reader:
        journal = begin_journal(folder, Plan.of(reader, standin.predictor(), 256, 32, 4), reader)
    Worker(standin.predictor).do(Task(folder, "tiles", journal.tiles))
    return folder


@pytest.mark.parametrize("turns", [True, False])
def test_a_worker_of_one_core_does_one_thing_at_a_time(folder, monkeypatch, turns):
    """One with two tasks took 1.7 cores, so that two workers on two cores were hardly faster than one."""
    under_way, most = 0, 0
    counting = threading.Lock()

    def counted(call):
        def counting_call(*arguments):
            nonlocal under_way, most
            with counting:
                under_way += 1
                most = max(most, under_way)
            time.sleep(0.2)
            result = call(*arguments)
            with counting:
                under_way -= 1
            return result

        return counting_call

    monkeypatch.setattr(workers, "find_nuclei", counted(workers.find_nuclei))
    monkeypatch.setattr(workers, "infer_tiles", counted(workers.infer_tiles))
    worker = Worker(standin.predictor, turns=turns)
    tasks = [Task(folder, "tiles", (0, 1)), Task(folder, "piece", (0,))]
    threads = [threading.Thread(target=worker.do, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == (1 if turns else 2)


def test_the_resolution_of_a_slide_is_known(folder, monkeypatch):
    """So tissue counts more from afar (`TwoScaleInferer`)."""
    known = []
    infer_tiles = workers.infer_tiles

    def recorded(*arguments):
        known.append(two_scales._image.get().known)
        return infer_tiles(*arguments)

    monkeypatch.setattr(workers, "infer_tiles", recorded)
    Worker(standin.predictor).do(Task(folder, "tiles", (0,)))
    assert known == [True]


def test_a_worker_keeps_to_its_threads(folder):
    before = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        assert Worker(standin.predictor, threads=1).do(Task(folder, "piece", (0,))).nuclei > 0
        assert cv2.getNumThreads() == 1
    finally:
        cv2.setNumThreads(before)
