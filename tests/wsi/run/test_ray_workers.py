import os
import signal

import psutil
import pytest
import standin
from maps import discs

from coseg_bundle.wsi.run.workers import InlineWorkers, WorkerError

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ray.cloudpickle.register_pickle_by_value(standin)  # the workers do not have the tests' folder


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    instances = discs(1000, 1000, seed=4)[:800]
    return standin.write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", standin.paint(instances))


def run(slide, folder, workers):
    result = standin.run(slide, folder, workers)
    assert result.error is None
    return standin.contents(folder)


@pytest.fixture(scope="module")
def finished(slide, tmp_path_factory):
    return run(slide, tmp_path_factory.mktemp("finished") / "slide", InlineWorkers(standin.predictor))


def test_same_bytes_as_the_local_engine(slide, finished, tmp_path):
    from coseg_bundle.wsi.run.ray_workers import RayWorkers

    assert run(slide, tmp_path / "out", RayWorkers(standin.predictor, 2)) == finished


def test_killed_actors_are_replaced(slide, finished, tmp_path):
    from coseg_bundle.wsi.run.ray_workers import RayWorkers

    class Killing(RayWorkers):
        waits, killed = 0, 0

        def wait(self):
            self.waits += 1
            if self.waits in (3, 8):
                workers = [p for p in psutil.Process().children(recursive=True) if "ray::Worker" in p.name()]
                workers = workers or [
                    p for p in psutil.Process().children(recursive=True) if "ray::Worker" in " ".join(p.cmdline())
                ]
                os.kill(workers[0].pid, signal.SIGKILL)
                self.killed += 1
            return super().wait()

    workers = Killing(standin.predictor, 2)
    assert run(slide, tmp_path / "out", workers) == finished
    assert workers.killed == 2


def test_no_cluster_at_the_address():
    from coseg_bundle.wsi.run.ray_workers import RayWorkers

    with pytest.raises(WorkerError, match=r"No Ray cluster at 127\.0\.0\.1:1"):
        RayWorkers(standin.predictor, 1, address="127.0.0.1:1")


@pytest.mark.parametrize(
    ("token", "before", "mode"), [(True, None, "token"), (False, None, None), (True, "disabled", "disabled")]
)
def test_the_token_of_this_machine_is_sent(token, before, mode, tmp_path, monkeypatch):
    from coseg_bundle.wsi.run.ray_workers import RayWorkers

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that what the call sets is undone
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    if before:
        monkeypatch.setenv("RAY_AUTH_MODE", before)
    if token:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("0" * 64)
    with pytest.raises(WorkerError, match="No Ray cluster at 127"):
        RayWorkers(standin.predictor, 1, address="127.0.0.1:1")
    assert os.environ.get("RAY_AUTH_MODE") == mode
