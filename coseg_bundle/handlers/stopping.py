"""SIGINT and SIGTERM, as a training hears them."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

import ignite.distributed as idist

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Notes SIGINT and SIGTERM, so that the step in flight is finished and saved; the second signal stops at once.

    Attributes:
        signal: Number of the signal that came, None before one does.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """From now on; elsewhere than in the main thread there are no signals to hear."""
        if threading.current_thread() is threading.main_thread() and not self._before:
            self._before = {number: signal.signal(number, self._note) for number in _SIGNALS}

    def restore(self) -> None:
        """Signals do what they did before `listen`."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def asked(self) -> bool:
        """Whether to stop; where several processes train together, whether any of them was told to."""
        if idist.get_world_size() > 1:
            self.signal = int(idist.all_reduce(self.signal or 0, "MAX")) or None
        return self.signal is not None

    def exit(self) -> None:
        """Ends the process as the signal would have: 130 after SIGINT, 143 after SIGTERM; without one does nothing."""
        if self.signal is not None:
            sys.exit(128 + self.signal)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number
