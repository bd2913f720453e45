"""Tasks on a Ray cluster. Workers need the slide, the results' folder and the bundle under the same paths as here."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coseg_bundle.engine.cores import available_cores
from coseg_bundle.wsi.run.worker import Done, Task, Worker
from coseg_bundle.wsi.run.workers import ATTEMPTS, Role, WorkerError, _reason, died, roles

if TYPE_CHECKING:
    from coseg_bundle.inferers import Predictor


class RayWorkers:
    """Actors on a cluster. Each starts with its first task; one that dies is replaced, and its tasks are done again by
    any.

    Args:
        make_predictor: Makes the predictor; must pickle, and its package must be installed on every node.
        workers: Number of actors; one for each core that the cluster offers when not given.
        address: The cluster's address, `auto` for one that this machine belongs to; None starts a local one.
        gpu: Whether the network runs on GPUs: then every GPU serves one actor that does tiles.

    Raises:
        WorkerError: Ray is not installed, or there is no cluster at the address.
    """

    def __init__(
        self,
        make_predictor: Callable[..., Predictor],
        workers: int | None = None,
        address: str | None = None,
        gpu: bool = False,
    ) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no reports to anyone
        if address is not None:
            _send_token()
        try:
            import ray
        except ImportError as error:
            raise WorkerError(f"Ray is not installed ({error}); pip install 'coseg-bundle[wsi,ray]'.") from error
        self._ray = ray
        share: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address is None:
            share |= {"num_cpus": max(workers or 0, available_cores()), "include_dashboard": False}
        try:
            _knock(address)
            ray.init(address=address or "local", **share)  # else that of a file that a cluster left, which may be gone
        except (OSError, RuntimeError, ValueError) as error:
            raise WorkerError(f"No Ray cluster at {address}: {_reason(error)}") from error
        resources = ray.cluster_resources()
        gpus = int(resources.get("GPU", 0)) if gpu else 0
        self._make_predictor = make_predictor
        self._plan = _plan(workers or int(resources.get("CPU", 1)), gpus)
        self._actors: list[Any] = [None] * len(self._plan)  # until the first task of each
        self._running: dict[Any, tuple[int, Any, Task]] = {}
        self._attempts: dict[Task, int] = {}
        self._again: deque[Task] = deque()

    def free(self, kind: str) -> bool:
        """See `Workers`."""
        return not self._again and self._least_busy(kind) is not None

    def submit(self, task: Task) -> None:
        """See `Workers`."""
        number = self._least_busy(task.kind)
        assert number is not None, "submit follows free"
        actor = self._actors[number] = self._actors[number] or self._start(*self._plan[number])
        self._running[actor.do.remote(task)] = (number, actor, task)

    @property
    def busy(self) -> bool:
        """See `Workers`."""
        return bool(self._running or self._again)

    def wait(self) -> list[tuple[Task, Done]]:
        """See `Workers`."""
        errors = self._ray.exceptions
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        results = []
        for reference in ready:
            number, actor, task = self._running.pop(reference)
            try:
                results.append((task, self._ray.get(reference)))
                self._attempts.pop(task, None)
            except (errors.RayActorError, errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
                if self._actors[number] is actor:  # the first of its tasks to come back
                    self._actors[number] = None
                self._attempts[task] = self._attempts.get(task, 0) + 1
                if self._attempts[task] >= ATTEMPTS:
                    raise WorkerError(died(task, _reason(error)[-300:])) from error
                self._again.append(task)
            except errors.RayTaskError as error:
                raise WorkerError(_reason(error.cause)) from error
        while self._again and self._least_busy(self._again[0].kind) is not None:
            self.submit(self._again.popleft())
        return results

    def close(self) -> None:
        """See `Workers`."""
        for actor in filter(None, self._actors):
            self._ray.kill(actor)
        self._ray.shutdown()

    def _least_busy(self, kind: str) -> int | None:
        busy = [0] * len(self._actors)
        for number, _, _ in self._running.values():
            busy[number] += 1
        able = [n for n, (role, _) in enumerate(self._plan) if kind in role.kinds and busy[n] < role.slots]
        return min(able, key=lambda n: (busy[n], self._actors[n] is None), default=None)

    def _start(self, role: Role, gpu: float) -> Any:
        """A new actor; what it is given waits until it is there. (Of one that Ray itself starts again it would not.)"""
        options = {"num_cpus": role.threads, "num_gpus": gpu, "max_concurrency": role.slots, "max_restarts": 0}
        return self._ray.remote(Worker).options(**options).remote(self._make_predictor, role.threads, role.turns)


def _plan(workers: int, gpus: int) -> list[tuple[Role, float]]:
    """Roles and shares of a GPU: every GPU serves one actor."""
    if not gpus:
        return [(role, 0.0) for role in roles(workers, workers, gpu=False)]
    tiles, pieces = Role(("tiles",), 1, 4), Role(("piece",), 1, 1)
    return [(tiles, 1.0)] * gpus + [(pieces, 0.0)] * max(1, workers - gpus)


def _send_token() -> None:
    """Has Ray send the token that lies on this machine: a head that finds it asks for it, but Ray's clients do not send
    it unless they are told to. A cluster without tokens takes who sends one."""
    given = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    if given or Path.home().joinpath(".ray", "auth_token").is_file():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _knock(address: str | None) -> None:
    """Fails at once where nobody listens; Ray itself would try for minutes. `auto` may be a cluster that is gone."""
    if address == "auto":
        from ray._private.services import canonicalize_bootstrap_address

        address = canonicalize_bootstrap_address(address)
    host, _, port = (address or "").rpartition(":")
    if host and port.isdigit() and "//" not in host:
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            raise OSError(f"nobody listens at {address} ({_reason(error)})") from error
