"""Signals that ask a run to end: training finishes its step, saves, and leaves; everything else leaves at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

FROM_SCHEDULERS = (signal.SIGUSR1, signal.SIGUSR2)
"""Sent before a job is preempted or its time is up; more signals may follow before the step ends."""


class Interrupted(SystemExit):
    """The run was asked to end by a signal; what was saved is kept. Ends the process as shells count: 130 for SIGINT, 143
    for SIGTERM.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(128 + signum)
        self.signum = signum

    def __str__(self) -> str:
        return f"interrupted by {signal.Signals(self.signum).name}"


class Stop:
    """While entered, SIGINT and SIGTERM end the run with :class:`Interrupted`: at once, or within :meth:`deferred` when
    training calls :meth:`leave`. A second one does not wait. SIGUSR1 and SIGUSR2, which schedulers send before they
    preempt a job, do the same in a Slurm job and where a launcher already listens to them, and always wait; ``previous``
    keeps the launcher's handlers. Where a launcher has a handler of SIGTERM, the signal is its affair: training only saves,
    as ``save`` asks for, and goes on.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self.save = False
        self.previous: dict[int, Any] = {}
        self._deferred = False

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for signum in (signal.SIGINT, signal.SIGTERM):
                handler = signal.getsignal(signum)
                is_launchers = signum == signal.SIGTERM and callable(handler)
                if handler in (signal.SIG_DFL, signal.default_int_handler) or is_launchers:
                    self.previous[signum] = handler
            for signum in FROM_SCHEDULERS:
                if "SLURM_JOB_ID" in os.environ or callable(signal.getsignal(signum)):
                    self.previous[signum] = signal.getsignal(signum)
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self.previous.items():
            signal.signal(signum, handler)

    def install(self) -> None:
        """Set the handlers, once more after Lightning has set its own."""
        for signum in self.previous:
            signal.signal(signum, self._handle)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside the block the first signal only sets ``requested``."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def leave(self) -> None:
        """Raise :class:`Interrupted` for the signal that was ``requested``; SIGTERM where another process received it."""
        raise Interrupted(self.requested or signal.SIGTERM)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if signum == signal.SIGTERM and callable(launcher := self.previous[signum]):
            self.save = True
            launcher(signum, frame)
            return
        is_urgent = self.requested is not None and not {self.requested, signum} & set(FROM_SCHEDULERS)
        if not self._deferred or is_urgent:
            raise Interrupted(signum)
        self.requested = self.requested or signum
