import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import standin
from maps import discs
from standin import contents, run

from coseg_bundle.wsi.run import workers as module
from coseg_bundle.wsi.run.worker import Task
from coseg_bundle.wsi.run.workers import ATTEMPTS, LocalWorkers, Role, WorkerError, roles, team_size

SCRIPT = Path(__file__).parents[2] / "helpers" / "slide_process.py"


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    instances = discs(1200, 1500, seed=3)[:1000]
    return standin.write_slide(tmp_path_factory.mktemp("slide") / "slide.tif", standin.paint(instances))


@pytest.fixture(scope="module")
def finished(slide, tmp_path_factory):
    from coseg_bundle.wsi.run.workers import InlineWorkers

    result = run(slide, tmp_path_factory.mktemp("finished") / "slide", InlineWorkers(standin.predictor))
    assert result.error is None
    assert result.summary["nuclei"] > 1000
    return contents(result.folder)


def test_roles():
    assert roles(4, 8, gpu=False) == [Role(threads=2)] * 4
    assert roles(8, 8, gpu=False) == [Role(turns=True)] * 8
    assert roles(1, 8, gpu=True) == [Role(threads=8)]
    assert roles(1, 1, gpu=True) == [Role()]  # the GPU is busy while the core is
    assert [role.kinds for role in roles(3, 8, gpu=True)] == [("tiles",), ("piece",), ("piece",)]


def test_as_many_workers_as_cores_and_memory(monkeypatch, caplog):
    monkeypatch.setattr(module, "available_cores", lambda: 4)
    monkeypatch.setattr(module, "available_memory", lambda: 8_000_000_000)  # 6 times 1.2 GB, and some
    assert [team_size(asked) for asked in (None, 1, 4)] == [4, 1, 4]
    assert not caplog.records
    assert team_size(6) == 6
    assert "6 workers share 4 cores" in caplog.text
    with pytest.raises(
        ValueError, match=r"Expected at most 6 workers, .* of the 8\.0 GB of memory .*, got 7; take fewer"
    ):
        team_size(7)
    monkeypatch.setattr(module, "available_memory", lambda: 2_500_000_000)
    assert team_size(None) == 2
    monkeypatch.setattr(module, "available_memory", lambda: 1_000_000_000)
    assert team_size(None) == team_size(1) == 1  # none would be nothing
    monkeypatch.setattr(module, "available_memory", lambda: None)
    assert team_size(None) == 4
    assert team_size(1000) == 1000


def test_a_worker_starts_with_its_first_task(monkeypatch):
    workers, started = LocalWorkers(standin.predictor, roles(3, 3, gpu=False)), []

    def start(worker):
        started.append(worker)
        worker.process = worker.connection = SimpleNamespace(send=lambda task: None)

    monkeypatch.setattr(workers, "_start", start)
    assert not started
    for number in range(5):
        workers.submit(Task(Path("x"), "tiles", (number,)))
        assert len(started) == min(number + 1, 3)
    done = workers._workers[0].tasks
    done.clear()
    workers._workers[2].process = None
    workers._workers[2].tasks.clear()
    workers.submit(Task(Path("x"), "tiles", (5,)))
    assert len(done) == 1  # one that is there goes before one that would have to start
    assert len(started) == 3


def test_processes_give_the_same_bytes(slide, finished, tmp_path):
    plan = roles(2, 2, gpu=True)  # one for the tiles, one for the pieces
    result = run(slide, tmp_path / "out", LocalWorkers(standin.predictor, plan))
    assert result.error is None
    assert contents(result.folder) == finished


@pytest.mark.slow
def test_a_killed_worker_is_replaced(slide, finished, tmp_path):
    class Killing(LocalWorkers):
        waits = 0

        def wait(self):
            self.waits += 1
            if self.waits in (3, 9):
                os.kill(self._workers[self.waits % 2].process.pid, signal.SIGKILL)
            return super().wait()

    result = run(slide, tmp_path / "out", Killing(standin.predictor, roles(2, 2, gpu=False)))
    assert result.error is None
    assert contents(result.folder) == finished


def dying(precision=None):
    os._exit(7)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_is_given_up(slide, tmp_path):
    result = run(slide, tmp_path / "out", LocalWorkers(dying, [Role(slots=1)]))
    assert f"{ATTEMPTS} workers died" in result.error
    assert "--resume" in result.error


def failing():
    raise ValueError("no weights there")


def test_errors_travel(tmp_path):
    workers = LocalWorkers(failing, [Role()])
    workers.submit(Task(tmp_path, "tiles", (0,)))
    with pytest.raises(WorkerError, match=r"plan\.json"):
        workers.wait()
    workers.close()


def start(slide, folder, kind="local", count=1):
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(slide), str(folder), kind, str(count)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def journal(folder):
    found = {}
    with suppress(FileNotFoundError):  # a run that ends removes it
        for path in [path for name in ("maps", "nuclei") for path in (folder / ".work" / name).glob("[0-9]*")]:
            found[path] = path.stat().st_mtime_ns
    return found


def kill_until_done(slide, folder, kills, seed):
    """Kills the run at random moments between its first file and its end; returns the number of kills."""
    rng, killed = random.Random(seed), 0
    while True:
        process = start(slide, folder)
        begun = time.monotonic()
        before = set(journal(folder))
        while process.poll() is None and set(journal(folder)) == before and time.monotonic() - begun < 120:
            time.sleep(0.02)
        if killed < kills:
            time.sleep(rng.uniform(0, 0.4))
        else:
            process.wait(240)
        if process.poll() is not None:
            assert process.returncode == 0, process.stderr.read()
            return killed
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(children, 20)
        assert not alive  # workers leave with their parent
        killed += 1


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_random_kills(slide, finished, tmp_path):
    """Twenty kills of the whole run; each time the finished steps stay, and at the end every file is the same."""
    killed = 0
    for attempt in range(40):
        folder = tmp_path / f"{attempt}"
        killed += kill_until_done(slide, folder, kills=4, seed=attempt)
        assert contents(folder) == finished
        if killed >= 20:
            break
    assert killed >= 20


def test_a_kill(slide, finished, tmp_path):
    assert kill_until_done(slide, tmp_path / "out", kills=1, seed=0) <= 1
    assert contents(tmp_path / "out") == finished


@pytest.mark.slow
def test_file_size_limit(slide, tmp_path):
    """A file system that takes no more: one sentence, and no half file."""
    command = (
        "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000));"
        f"sys.argv = ['x', {str(slide)!r}, {str(tmp_path / 'out')!r}, 'local', '1'];"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 1
    assert "the results cannot be written there (File too large)" in done.stderr
    assert not (tmp_path / "out" / "summary.json").exists()
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.stat().st_size >= 6000]


def test_numbers_of_tasks_are_bounded():
    """An workers never holds more tasks than its workers have slots."""
    workers = LocalWorkers(standin.predictor, [Role(slots=2)])
    given = 0
    while workers.free("tiles"):
        workers._workers[0].tasks.append(Task(Path("x"), "tiles", (given,)))
        given += 1
    workers.close()
    assert given == 2


LOCKED = """
import multiprocessing
from coseg_bundle.wsi.run import workers

def locked(connection):
    global lock
    lock = multiprocessing.Lock()  # as numcodecs does for Blosc, when a chunk is decoded
    connection.send(lock._semlock.name)
    workers._serve(connection, None, workers.Role())

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=locked, args=(theirs,))
    process.start()
    theirs.close()
    print(ours.recv())
    ours.close()
    process.join()
    print(process.exitcode)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="locks have no names there")
def test_a_worker_that_leaves_leaves_no_lock_behind(tmp_path):
    (tmp_path / "locked.py").write_text(LOCKED)
    ended = subprocess.run([sys.executable, tmp_path / "locked.py"], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
    assert re.fullmatch(r"/mp-\w+\n0\n", ended.stdout)
