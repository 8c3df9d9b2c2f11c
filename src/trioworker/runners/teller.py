"""Tells the worker how far a function in this process has come: the newest, a few times a second.

What comes sooner than that is held back for a thread, which lives while there is something to hold:
a loop may tell every step, and what it told last is heard even when it then falls silent.

Rule of this file: as `raised.py`, it knows neither Trio nor asyncio.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from trioworker.model.progress import Progress

TELL_EVERY_S: Final = 0.1


class Teller:
    """Sends messages with `send`, at most one of each member of a chunk in `every_s` seconds."""

    def __init__(
        self, send: Callable[[dict[str, Any]], None], *, every_s: float = TELL_EVERY_S
    ) -> None:
        self._send = send
        self._every_s = every_s
        self._lock = threading.Lock()
        self._held: dict[int, Progress] = {}
        self._pausing = False
        self._job = 0

    @contextmanager
    def telling_of(self, job: int) -> Iterator[None]:
        """Inside this context that job may tell; when it is left, all that it told is sent."""
        with self._lock:
            self._job = job
        try:
            yield
        finally:
            with self._lock:
                self._send_held()
                self._job = 0

    def tell(self, progress: Progress, *, job: int, member: int = 0) -> None:
        """The job has come so far. Nobody hears what a thread tells that has outlived its job."""
        with self._lock:
            if job != self._job:
                return
            self._held[member] = progress
            if not self._pausing:
                self._send_held()
                self._pausing = True
                threading.Thread(target=self._pause, daemon=True).start()

    def _pause(self) -> None:
        """Send what was held back, until there is none any more."""
        pause = threading.Event()
        while self._pausing:
            pause.wait(self._every_s)
            with self._lock:
                self._pausing = bool(self._held)
                self._send_held()

    def _send_held(self) -> None:
        held, self._held = self._held, {}
        for member, told in held.items():
            progress = told.fraction, told.note
            self._send({"id": self._job, "progress": progress, "member": member})
