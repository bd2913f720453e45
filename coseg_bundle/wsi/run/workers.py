"""Who does the tasks: processes of this machine. `ray_workers` do the same on a cluster."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.util
import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from coseg_bundle.engine.cores import available_cores, available_memory
from coseg_bundle.wsi.run.worker import Done, Task, Worker

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor

logger = logging.getLogger(__name__)

ATTEMPTS = 3
"""Times that a task is tried when the processes that work on it die."""

SLOTS = 2
"""Tasks that a worker has at a time: while one is in the network, the next one is read."""


WORKER_BYTES = 1_200_000_000
"""Memory of a worker on a CPU, whatever the slide."""


class WorkerError(RuntimeError):
    """A task failed; the message is the reason."""


class Workers(Protocol):
    """Does tasks in any order."""

    def free(self, kind: str) -> bool:
        """Whether a task of this kind can be given now."""

    def submit(self, task: Task) -> None:
        """Gives a task."""

    @property
    def busy(self) -> bool:
        """Whether tasks are under way."""

    def wait(self) -> list[tuple[Task, Done]]:
        """Waits until at least one task is done.

        Raises:
            WorkerError: One failed, or its workers died time and again.
        """

    def close(self) -> None:
        """Ends the workers."""


@dataclass(frozen=True)
class Role:
    """A worker's part.

    Attributes:
        kinds: Kinds of tasks that it does.
        threads: Threads of its network on a CPU.
        slots: Tasks at a time.
        turns: Whether its network and its post-processing take turns.
    """

    kinds: tuple[str, ...] = ("tiles", "piece")
    threads: int = 1
    slots: int = SLOTS
    turns: bool = False


def team_size(asked: int | None) -> int:
    """The number of workers of this machine: as many as asked for, or as this job has cores and memory for.

    More than there are cores are said: they take turns on them.

    Raises:
        ValueError: More are asked for than the memory holds.
    """
    cores, memory = available_cores(), available_memory()
    room = None if memory is None else max(1, memory // WORKER_BYTES)
    if asked is None:
        return cores if room is None else min(cores, room)
    if memory is not None and room is not None and asked > room:
        raise ValueError(
            f"Expected at most {room} workers, which need 1.2 GB each of the {memory / 1e9:.1f} GB of memory that this "
            f"job has, got {asked}; take fewer."
        )
    if asked > cores:
        logger.warning("%d workers share %d cores, which is no faster; as many as cores are best.", asked, cores)
    return asked


def roles(workers: int, cores: int, gpu: bool) -> list[Role]:
    """Shares the cores out. On a CPU, each worker does everything, one thing at a time where it has one core; a GPU
    serves one worker, which does tiles only where there are others for the rest."""
    if gpu and workers > 1:
        return [Role(("tiles",), 1, 4), *[Role(("piece",), 1, 1)] * (workers - 1)]
    threads = max(1, cores // workers)
    return [Role(threads=threads, turns=threads == 1 and not gpu)] * workers


class InlineWorkers:
    """Does each task when it is waited for, in this process.

    Args:
        make_predictor: Makes the predictor.
        threads: Threads of the network on a CPU.
    """

    def __init__(self, make_predictor: Callable[..., Predictor], threads: int = 1) -> None:
        self._worker = Worker(make_predictor, threads)
        self._tasks: deque[Task] = deque()

    def free(self, kind: str) -> bool:
        """See `Workers`."""
        return not self._tasks

    def submit(self, task: Task) -> None:
        """See `Workers`."""
        self._tasks.append(task)

    @property
    def busy(self) -> bool:
        """See `Workers`."""
        return bool(self._tasks)

    def wait(self) -> list[tuple[Task, Done]]:
        """See `Workers`."""
        task = self._tasks.popleft()
        try:
            return [(task, self._worker.do(task))]
        except Exception as error:
            raise WorkerError(_reason(error)) from error

    def close(self) -> None:
        """See `Workers`."""


@dataclass
class _Process:
    role: Role
    process: Any = None  # until its first task
    connection: Any = None
    tasks: list[Task] = field(default_factory=list)


class LocalWorkers:
    """Processes of this machine. Each starts with its first task, and there are never more than tasks to do at a time.
    One that dies is replaced, and its tasks are done again.

    Args:
        make_predictor: Makes the predictor; must pickle.
        plan: A role for each worker.
    """

    def __init__(self, make_predictor: Callable[..., Predictor], plan: list[Role]) -> None:
        self._make_predictor = make_predictor
        self._context = multiprocessing.get_context("spawn")  # forked processes would share the parent's thread pools
        self._attempts: dict[Task, int] = {}
        self._again: deque[Task] = deque()
        self._workers = [_Process(role) for role in plan]

    def free(self, kind: str) -> bool:
        """See `Workers`."""
        return not self._again and self._least_busy(kind) is not None

    def submit(self, task: Task) -> None:
        """See `Workers`."""
        worker = self._least_busy(task.kind)
        assert worker is not None, "submit follows free"
        if worker.process is None:
            self._start(worker)
        worker.tasks.append(task)
        worker.connection.send(task)

    @property
    def busy(self) -> bool:
        """See `Workers`."""
        return bool(self._again) or any(worker.tasks for worker in self._workers)

    def wait(self) -> list[tuple[Task, Done]]:
        """See `Workers`."""
        started = [worker for worker in self._workers if worker.process is not None]
        ready = multiprocessing.connection.wait([worker.connection for worker in started])
        results = []
        for worker in started:
            if worker.connection not in ready:
                continue
            try:
                task, done, reason = worker.connection.recv()
            except (EOFError, OSError):
                self._replace(worker)
                continue
            worker.tasks.remove(task)
            self._attempts.pop(task, None)
            if reason is not None:
                raise WorkerError(reason)
            results.append((task, done))
        while self._again and self._least_busy(self._again[0].kind):
            self.submit(self._again.popleft())
        return results

    def close(self) -> None:
        """See `Workers`."""
        started = [worker for worker in self._workers if worker.process is not None]
        for worker in started:
            worker.connection.close()  # the worker sees the end of the pipe and leaves
        for worker in started:
            worker.process.join(5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()

    def _least_busy(self, kind: str) -> _Process | None:
        able = [w for w in self._workers if kind in w.role.kinds and len(w.tasks) < w.role.slots]
        return min(able, key=lambda worker: (len(worker.tasks), worker.process is None), default=None)

    def _start(self, worker: _Process) -> None:
        worker.connection, theirs = self._context.Pipe()
        arguments = (theirs, self._make_predictor, worker.role)
        worker.process = self._context.Process(target=_serve, args=arguments, daemon=True)
        worker.process.start()
        theirs.close()

    def _replace(self, worker: _Process) -> None:
        """Takes a dead process off; the next task of its worker starts another."""
        worker.process.join(5)
        code, tasks = worker.process.exitcode, worker.tasks
        worker.connection.close()
        worker.process, worker.connection, worker.tasks = None, None, []
        given_up = None
        for task in tasks:
            self._attempts[task] = self._attempts.get(task, 0) + 1
            if self._attempts[task] < ATTEMPTS:
                self._again.append(task)
            else:
                given_up = task
        if given_up is not None:
            raise WorkerError(died(given_up, code))


def died(task: Task, code: object = None) -> str:
    """The sentence about a task whose workers die."""
    return (
        f"{ATTEMPTS} workers died at the same task ({task.kind} {task.numbers[0]}, exit code {code}); if memory ran "
        "out, take fewer --workers or a smaller --batch-size, then --resume."
    )


def _serve(connection: Any, make_predictor: Callable[..., Predictor], role: Role) -> None:
    """A worker process: tasks come in, answers go out, until the other end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    worker, answering = Worker(make_predictor, role.threads, role.turns), threading.Lock()

    def do(task: Task) -> None:
        answer: tuple[Task, Done | None, str | None]
        try:
            answer = task, worker.do(task), None
        except Exception as error:
            answer = task, None, _reason(error)
        with answering:
            try:
                connection.send(answer)
            except OSError:
                _leave(1)  # nobody listens any more

    pool = ThreadPoolExecutor(role.slots)
    while True:
        try:
            task = connection.recv()
        except (EOFError, OSError):
            _leave(0)
        pool.submit(do, task)


def _leave(code: int) -> NoReturn:
    """Ends this process at once: what is unfinished leaves no file. Locks of codecs (numcodecs has one for Blosc) have
    names in the system, which go first; else Python warns of each when the command ends."""
    multiprocessing.util._run_finalizers()  # type: ignore[attr-defined]  # what a process does that ends by itself
    os._exit(code)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
