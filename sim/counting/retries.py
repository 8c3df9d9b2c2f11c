"""How attempts are followed by others, or by none."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sim.counting.part import Part
from sim.database.rows import AttemptRow, CompletedRow
from sim.happenings import CancelAsked, Committed, Happening
from sim.oracles.base import Handler
from sim.oracles.facts import Facts
from sim.oracles.retries import options_of
from trioworker.events import Event

OUT_OF_TIME: Final = {
    "the deadline of the job had passed": "a job too late for its first attempt, or another",
    "the job was stopped at its deadline": "an attempt cut at its deadline",
    "the deadline of the job comes before": "an attempt that the deadline forbids",
}
"""How the error begins, and what that is called."""


class Retries(Part):
    """How attempts are followed by others, or by none."""

    states = (
        "a failed attempt that its policy follows with another",
        "an attempt that ran into its timeout, followed by another",
        "an attempt lost with its worker, on record",
        "a job that failed at its last attempt",
        *OUT_OF_TIME.values(),
        "a child cancelled because its parent was",
    )

    def __init__(self, facts: Facts, seen: Counter[str]) -> None:
        super().__init__(facts, seen)
        self._asked: set[UUID] = set()

    def handlers(self) -> Mapping[type[Event], Handler]:
        """See `Part.handlers`."""
        return {CancelAsked: self._cancel_asked, Committed: self._committed}

    def _cancel_asked(self, _happening: Happening, event: CancelAsked) -> None:
        self._asked.update(event.jobs)

    def _committed(self, _happening: Happening, event: Committed) -> None:
        for change in event.changes:
            match change.new:
                case AttemptRow() as row:
                    self._another(row)
                case CompletedRow(status="failure", error=str(error)):
                    self._failed(json.loads(error))
                case CompletedRow(status="canceled", id=job) if job not in self._asked:
                    if not self._asked.isdisjoint(self._facts.lineage(job)):
                        self._seen["a child cancelled because its parent was"] += 1

    def _another(self, row: AttemptRow) -> None:
        if row.started_at is None:
            self._seen["an attempt lost with its worker, on record"] += 1
        elif options_of(self._facts, row.id).policy(None) is not None:
            self._seen["a failed attempt that its policy follows with another"] += 1
            if json.loads(row.error)["name"] == "Timeout":
                self._seen["an attempt that ran into its timeout, followed by another"] += 1

    def _failed(self, error: Mapping[str, str]) -> None:
        if error["message"].startswith("attempt "):
            self._seen["a job that failed at its last attempt"] += 1
        if error["name"] == "DeadlineExceeded":
            for words, state in OUT_OF_TIME.items():
                if error["message"].startswith(words):
                    self._seen[state] += 1
