"""What a job may know about itself, and what it may hand over while it runs.

Rule of this file: a context is made by whoever runs the job; it reaches nothing by itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Generic, TypeVar
from uuid import UUID

from trioworker.calls import Calls
from trioworker.children import NO_LINE, How, Line
from trioworker.model.options import check_label
from trioworker.model.progress import Progress, progress_of
from trioworker.model.user_statement import UserStatement, hand_over
from trioworker.sync_calls import SyncCalls

A = TypeVar("A")


def _nobody(_progress: Progress) -> None:
    """Hears nothing."""


@dataclass(frozen=True, slots=True)
class JobContext(Calls):
    """What a job may know about itself; a parameter annotated with this class receives it.

    `log` appends one line to the job's log. `label` gives the job a label, which is stored when
    this attempt ends it; it raises `UsageError` for one that will not do. `statements` are what was
    handed to `commit_with` so far, and `tell` is where `progress` goes. `line` leads to who takes
    care of children and steps. `shared` is the folder that a step shares with the others of its
    flow, if that has all of them run by the same worker.
    """

    id: UUID
    attempt: int
    tag: str
    log: Callable[[str], None]
    label: Callable[[str], None] = check_label
    statements: list[UserStatement] = field(
        default_factory=list[UserStatement], repr=False, compare=False
    )
    tell: Callable[[Progress], None] = field(default=_nobody, repr=False, compare=False)
    line: Line = field(default=NO_LINE, repr=False, compare=False)
    shared: Path | None = None

    @property
    def sync(self) -> SyncCalls:
        """Children and steps for a function in a thread. Raises `UsageError` in a coroutine."""
        return SyncCalls(self.line, How())

    @property
    def _line(self) -> Line:
        return self.line

    @property
    def _how(self) -> How:
        return How()

    def progress(self, fraction: float, note: str = "") -> None:
        """Tell how far this attempt has come, from 0 to 1, and in words what is being done.

        The last one counts. It waits for nothing and is stored about once a second, so that a loop
        may tell every step. Raises `UsageError` when it will not do.
        """
        self.tell(progress_of(fraction, note))

    def commit_with(self, sql: str, *values: object) -> None:
        """Run `sql` in the very transaction that stores the success of this attempt.

        `values` are those of its $1, $2 and so on; mappings become JSON. What does not end in
        success runs none of its statements. Raises `UsageError` when this can be no statement.
        """
        hand_over(self.statements, sql, values)


@dataclass(frozen=True, slots=True)
class Call(JobContext, Generic[A]):
    """One job in the list that a chunk function takes; `args` is the record of its arguments.

    `log` appends to this job's log alone.
    """

    args: A = field(kw_only=True)

    @classmethod
    def of(cls, context: JobContext, args: A) -> "Call[A]":
        """What a worker makes of a job's context and its arguments."""
        known = {one.name: getattr(context, one.name) for one in fields(context)}
        return cls(**known, args=args)
