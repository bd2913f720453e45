"""Tries damaged files on every door: no traceback, no hang, no file outside of the results. `make fuzz SECONDS=600`.

Valid files of each door (those of `tests/cases`) are damaged: bytes are flipped, runs of them overwritten, cut out,
doubled or taken from another file; tags of TIFFs, chunks of PNGs, headers of NPYs, members of zips and keys of JSON are
edited. What input N is depends on the seed and N alone. The work is done in a process of its own with a limit of
memory, which is replaced when it dies or takes too long. What fails is kept in `runs/fuzz/`, and never goes into the
repository: a test of its kind does.

    python scripts/fuzz.py --seconds 600 --seed 1
    python scripts/fuzz.py --only 4711 --seed 1     one input again, its files kept, with its traceback
"""

from __future__ import annotations

import argparse
import json
import os
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "runs" / "fuzz"

CPU_S = 20.0
"""Processor time after which an input hangs. The slowest of the undamaged ones takes less than two seconds."""

WALL_S = 300.0
"""The same by the clock, for what waits."""


def main() -> int:
    """Fuzzes and reports; 1 if anything failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long (60)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (0)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input (0)")
    parser.add_argument("--only", type=int, metavar="N", help="try this input alone, in this process")
    parser.add_argument("--doors", nargs="+", metavar="NAME", help="only these; all of them by default")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker or arguments.only is not None:
        sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]
        from tests.fuzz.worker import work

        return work(arguments.seed, arguments.first, arguments.only, arguments.doors, KEPT)
    return _watch(arguments)


def _watch(arguments: argparse.Namespace) -> int:
    """Keeps a worker at work until the time is over."""
    end = time.monotonic() + arguments.seconds
    number, counts, failures = arguments.first, Counter[str](), []
    while time.monotonic() < end:
        worker = _Worker(arguments, number)
        try:
            for line in worker.lines(end):
                done = json.loads(line)
                number = done["number"] + 1
                counts[f"{done['door']}: {done['outcome']}"] += 1
                if done["outcome"] not in ("answer", "sentence"):
                    failures.append(done)
                    print(
                        f"input {done['number']} ({done['door']}): {done['outcome']}: {done['said'][:300]}", flush=True
                    )
        finally:
            worker.end()
        if worker.verdict:
            counts[worker.verdict] += 1
            failures.append({"number": number, "outcome": worker.verdict})
            print(f"input {number}: {worker.verdict}", flush=True)
            number += 1
    _report(counts, failures, number - arguments.first, arguments.seed)
    return 1 if failures else 0


class _Worker:
    """A process that tries inputs one after the other, from a number on."""

    def __init__(self, arguments: argparse.Namespace, first: int) -> None:
        command = [
            sys.executable,
            str(Path(__file__)),
            "--worker",
            "--seed",
            str(arguments.seed),
            "--first",
            str(first),
        ]
        command += ["--doors", *arguments.doors] if arguments.doors else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        KEPT.mkdir(parents=True, exist_ok=True)
        self._log = (KEPT / "worker.log").open("ab")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, env=environment)
        self.verdict = ""

    def lines(self, end: float) -> Any:
        """What it says, until it dies, hangs, or the time is over."""
        import psutil

        assert self._process.stdout is not None
        watched, said_at = psutil.Process(self._process.pid), time.monotonic()
        used_at, begun, rest = 0.0, False, b""
        while time.monotonic() < end:
            ready, _, _ = select.select([self._process.stdout], [], [], 1.0)
            if ready:
                content = os.read(self._process.stdout.fileno(), 2**16)
                if not content:
                    self.verdict = f"the process died ({self._process.wait()})"
                    return
                *whole, rest = (rest + content).split(b"\n")
                yield from (line.decode() for line in whole if line)
                begun, said_at, used_at = True, time.monotonic(), _used(watched)
            elif begun and (_used(watched) - used_at > CPU_S or time.monotonic() - said_at > WALL_S):
                self.verdict = "hang"
                return

    def end(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()
        self._log.close()


def _used(process: Any) -> float:
    try:
        times = process.cpu_times()
    except Exception:  # it has just ended
        return 0.0
    return float(times.user + times.system)


def _report(counts: Counter[str], failures: list[dict[str, Any]], tried: int, seed: int) -> None:
    for name, count in sorted(counts.items()):
        print(f"  {name:<50}{count:>8}")
    kinds = Counter(str(failure["outcome"]) for failure in failures)
    print(f"{tried} inputs of seed {seed}: {len(failures)} failed {dict(kinds) if kinds else ''}")
    if failures:
        print(f"Kept in {KEPT.relative_to(ROOT)}; again: python scripts/fuzz.py --seed {seed} --only N")


if __name__ == "__main__":
    sys.exit(main())
