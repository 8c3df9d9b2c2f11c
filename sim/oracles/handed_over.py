"""What jobs hand over: with the success that it belongs to, and with nothing else."""

from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import msgspec

from sim.database.rows import CompletedRow, EffectRow
from sim.database.user_table import marks_of, said_of
from sim.happenings import Committed, Happening
from sim.oracles.base import Handler, Oracle
from sim.plan import HANDS_OVER
from trioworker.events import Event


class HandedOver(Oracle):
    """Invariant 6: the effect of a job in its user's table is there once for its success.

    It is that of the execution whose result is stored, by the same commit, with the values that
    were given. No other end of an attempt has one.
    """

    name = "handed over"
    invariant = 6

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Oracle.handlers`."""
        return {Committed: self._committed}

    def _committed(self, _happening: Happening, event: Committed) -> None:
        there: Counter[tuple[UUID, int, int]] = Counter()
        due: Counter[tuple[UUID, int, int]] = Counter()
        for change in event.changes:
            match change.new:
                case EffectRow(job=job, attempt=attempt, execution=execution) as row:
                    there[job, attempt, execution] += 1
                    if not _is_as_given(row):
                        self.find(f"the effect of job {job} is {row.said} and {row.marks}")
                case CompletedRow(status="success", id=job, attempt=attempt, result=str(said)):
                    if self.facts.jobs[job].path == HANDS_OVER:
                        due[job, attempt, msgspec.json.decode(said)["execution"]] += 1
        for job, attempt, execution in (there - due) | (due - there):
            count = there[job, attempt, execution]
            self.find(
                f"attempt {attempt} of job {job}, execution {execution}, has {count} effects with"
                f" {due[job, attempt, execution]} successes"
            )


def _is_as_given(row: EffectRow) -> bool:
    said, marks = said_of(row.attempt, row.execution), marks_of(row.attempt, row.execution)
    return msgspec.json.decode(row.said) == said and row.marks == tuple(marks)
