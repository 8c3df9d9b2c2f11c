"""Everything a job in this process writes, sent to the log of that very job.

Which job writes is told by a context variable, because tasks, threads and asyncio callbacks that
a job starts inherit it. `print` and `logging` outside of any job go where they always went.
"""

import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Final, TextIO

from trioworker.model.progress import Progress
from trioworker.runners.joblog import JobLog

LOG_FORMAT: Final = "%(levelname)s %(name)s: %(message)s"

_lock: Final = threading.Lock()


class Capture:
    """Where the output of one attempt goes until the attempt is over.

    A thread that outlives its attempt goes on writing; from then on into nothing.
    """

    __slots__ = ("_log",)

    def __init__(self, log: JobLog) -> None:
        self._log: JobLog | None = log

    def write(self, text: str) -> None:
        """Append `text`; safe from any thread."""
        with _lock:
            if self._log is not None:
                self._log.write(text)

    def line(self, text: str) -> None:
        """Append `text` and a newline."""
        self.write(f"{text}\n")

    def label(self, text: str) -> None:
        """Give the job a label; see `Labels.add`."""
        with _lock:
            if self._log is not None:
                self._log.labels.add(text)

    def tell(self, progress: Progress) -> None:
        """The job has come so far; see `Telling`."""
        with _lock:
            if self._log is not None:
                self._log.progress.tell(progress)

    def close(self) -> None:
        """The attempt is over: what is written from now on is dropped."""
        with _lock:
            self._log = None


current: Final[ContextVar[Capture | None]] = ContextVar("trioworker_capture", default=None)


class RoutedStream:
    """Stands in for `sys.stdout` or `sys.stderr`: a job's text to its log, the rest as before."""

    def __init__(self, original: TextIO) -> None:
        self._original = original

    def write(self, text: str) -> int:
        """Write as a text stream does."""
        capture = current.get()
        if capture is None:
            return self._original.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        capture.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._original, name)


class CaptureHandler(logging.Handler):
    """A root handler that sends a job's records to its log and leaves all others alone."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LOG_FORMAT))

    def emit(self, record: logging.LogRecord) -> None:
        """Route one record."""
        capture = current.get()
        if capture is not None:
            try:
                capture.line(self.format(record))
            except Exception:  # noqa: BLE001 - logging's own rule: a bad record harms nobody
                self.handleError(record)
        elif len(logging.root.handlers) == 1:
            _as_if_unconfigured(record)


class _Routing:
    """What is replaced in this process while at least one runner is open."""

    def __init__(self) -> None:
        self._users = 0
        self._undo = ExitStack()

    def enter(self) -> None:
        self._users += 1
        if self._users == 1:
            self._route_stream("stdout")
            self._route_stream("stderr")
            self._route_logging()

    def leave(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._undo.close()

    def _route_stream(self, name: str) -> None:
        original = getattr(sys, name)
        routed = RoutedStream(original)
        setattr(sys, name, routed)

        def restore() -> None:
            # Somebody else may have replaced the stream since; theirs is not ours to undo.
            if getattr(sys, name) is routed:
                setattr(sys, name, original)

        self._undo.callback(restore)

    def _route_logging(self) -> None:
        root = logging.root
        if not root.handlers and root.level == logging.WARNING:
            self._undo.callback(root.setLevel, root.level)
            root.setLevel(logging.INFO)
        handler = CaptureHandler()
        self._undo.callback(root.removeHandler, handler)
        root.addHandler(handler)


_routing: Final = _Routing()


@contextmanager
def capturing() -> Iterator[None]:
    """Route `print` and `logging` by job inside this context; it may be entered several times.

    Logging that nobody has configured counts as set to INFO meanwhile, so that a job's first
    `logger.info` is not lost.
    """
    _routing.enter()
    try:
        yield
    finally:
        _routing.leave()


def _as_if_unconfigured(record: logging.LogRecord) -> None:
    last = logging.lastResort
    if last is not None and record.levelno >= last.level:
        last.handle(record)
