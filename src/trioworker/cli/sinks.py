"""The log: events as lines on stderr, for people or for programs.

Rule of this file: a sink costs a table lookup for an event that is not logged. Nothing here keeps
state, and nothing here is called per job unless somebody asked for level debug.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import msgspec
import structlog

from trioworker.events import (
    AccessRefused,
    BatchAdopted,
    BatchHanded,
    BatchPulled,
    BatchStored,
    CancelReceived,
    ChunksCut,
    CommitFailed,
    Emit,
    Event,
    FlushFailed,
    HeartbeatFailed,
    JobEnded,
    JobsLeft,
    JobsReaped,
    JobStarted,
    LeaseDoubtful,
    LeaseTaken,
    LookupFailed,
    MaintenanceFailed,
    OutcomeAbandoned,
    OutcomeRefused,
    OutcomeResumed,
    PullFailed,
    RequestFailed,
    RequestServed,
    SchedulesDeclared,
    SchedulesLeft,
    ScriptFailed,
    ScriptRan,
    ServerListening,
    StatementRun,
    WorkerStarted,
    WorkerStopped,
    WorkerStopping,
    WorkflowFailed,
)
from trioworker.settings import LogFormat, LogLevel

IDS_SHOWN_MAX: Final = 20
_ORDER: Final = tuple(LogLevel)

LEVELS: Final[Mapping[type[Event], LogLevel]] = {
    WorkerStarted: LogLevel.INFO,
    ChunksCut: LogLevel.WARNING,
    SchedulesDeclared: LogLevel.INFO,
    SchedulesLeft: LogLevel.WARNING,
    JobsLeft: LogLevel.INFO,
    WorkerStopping: LogLevel.INFO,
    WorkerStopped: LogLevel.INFO,
    BatchPulled: LogLevel.DEBUG,
    BatchHanded: LogLevel.DEBUG,
    BatchAdopted: LogLevel.WARNING,
    PullFailed: LogLevel.WARNING,
    JobStarted: LogLevel.DEBUG,
    JobEnded: LogLevel.DEBUG,
    BatchStored: LogLevel.DEBUG,
    CommitFailed: LogLevel.WARNING,
    OutcomeRefused: LogLevel.WARNING,
    OutcomeAbandoned: LogLevel.ERROR,
    OutcomeResumed: LogLevel.INFO,
    LeaseDoubtful: LogLevel.WARNING,
    LeaseTaken: LogLevel.ERROR,
    HeartbeatFailed: LogLevel.WARNING,
    JobsReaped: LogLevel.WARNING,
    CancelReceived: LogLevel.INFO,
    FlushFailed: LogLevel.WARNING,
    LookupFailed: LogLevel.WARNING,
    ScriptRan: LogLevel.INFO,
    ScriptFailed: LogLevel.WARNING,
    WorkflowFailed: LogLevel.WARNING,
    MaintenanceFailed: LogLevel.WARNING,
    ServerListening: LogLevel.INFO,
    RequestServed: LogLevel.DEBUG,
    RequestFailed: LogLevel.ERROR,
    AccessRefused: LogLevel.WARNING,
}
"""All events but `StatementRun`, which has a log of its own."""


class Log:
    """Writes lines of at least `level` to stderr, wherever that leads at the time."""

    def __init__(self, level: LogLevel, form: LogFormat) -> None:
        self._least = _ORDER.index(level)
        self._stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        terminal = sys.stderr.isatty()
        self.is_json = form is LogFormat.JSON or (form is LogFormat.AUTO and not terminal)
        if self.is_json:
            self._render: Any = structlog.processors.JSONRenderer(msgspec_text)
        else:
            self._render = structlog.dev.ConsoleRenderer(colors=terminal)

    def wants(self, level: LogLevel) -> bool:
        """Whether a line of this level would be written."""
        return _ORDER.index(level) >= self._least

    def write(self, level: LogLevel, what: str, fields: Mapping[str, Any]) -> None:
        """Write one line."""
        if self.wants(level):
            line = {"event": what, "level": str(level), **fields}
            text = self._render(None, level, self._stamp(None, level, line))
            # A full disk or a reader that is gone costs the line, never the jobs.
            with suppress(OSError):
                sys.stderr.write(f"{text}\n")


def msgspec_text(value: object, **_: object) -> str:
    """JSON of a log line's fields."""
    return msgspec.json.encode(value).decode()


def log_sink(log: Log) -> Emit:
    """Events as lines. Long lists of ids become their number."""
    wanted = {kind: level for kind, level in LEVELS.items() if log.wants(level)}

    def sink(event: Event) -> None:
        kind = type(event)
        level = LogLevel.WARNING if _is_loss(event) else wanted.get(kind)
        if level is not None:
            log.write(level, _words(kind.__name__), _fields(event))

    return sink


def statement_sink(log: Log) -> Emit:
    """One line per statement: its name, its lane, how many jobs it may claim or store."""

    def sink(event: Event) -> None:
        if isinstance(event, StatementRun):
            log.write(LogLevel.INFO, "statement", msgspec.structs.asdict(event))

    return sink


def _is_loss(event: Event) -> bool:
    return isinstance(event, BatchStored) and bool(event.lost)


def _words(name: str) -> str:
    """`BatchStored` as `batch stored`."""
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _fields(event: Event) -> dict[str, Any]:
    return {name: _shown(value) for name, value in msgspec.structs.asdict(event).items()}


def _shown(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return len(value) if len(value) > IDS_SHOWN_MAX else [str(item) for item in value]
    return value
