"""Where a job can stand and what moves it: the whole life of a job as one table.

Rule of this file: all transitions live here. The statements carry them out, completion.py names
the destination by looking here, the diagram in the docs is drawn from here, and tests hold the
database against it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from trioworker.model.outcome import (
    Begun,
    Cancelled,
    Failed,
    Interrupted,
    Outcome,
    Retried,
    Skipped,
    Snoozed,
    Succeeded,
)


class Place(StrEnum):
    """The places; an unfinished job stands in exactly one, and none of those is the last."""

    READY = "ready"
    WAITING = "waiting"
    CLAIMED = "claim"
    FLOW = "flow_state"
    COMPLETED = "job_completed"


Cause = type[Outcome] | str
"""An outcome, or by name what somebody other than the job's own execution does."""

TRANSITIONS: Final[Mapping[tuple[Place, Cause], Place]] = {
    (Place.READY, "pull"): Place.CLAIMED,
    (Place.READY, "cancel"): Place.COMPLETED,
    (Place.READY, "replace"): Place.COMPLETED,
    (Place.READY, "wait for a slot"): Place.WAITING,
    (Place.WAITING, "cancel"): Place.COMPLETED,
    (Place.WAITING, "replace"): Place.COMPLETED,
    (Place.WAITING, "release"): Place.READY,
    (Place.READY, "loss of its worker"): Place.COMPLETED,
    (Place.WAITING, "loss of its worker"): Place.COMPLETED,
    (Place.FLOW, "loss of its worker"): Place.COMPLETED,
    (Place.FLOW, "end of its steps"): Place.COMPLETED,
    (Place.FLOW, "cancel"): Place.COMPLETED,
    (Place.FLOW, "begin anew"): Place.READY,
    (Place.WAITING, "decide"): Place.COMPLETED,
    (Place.CLAIMED, "reap"): Place.READY,
    (Place.CLAIMED, "give up"): Place.COMPLETED,
    (Place.COMPLETED, "retry"): Place.READY,
    (Place.CLAIMED, Succeeded): Place.COMPLETED,
    (Place.CLAIMED, Failed): Place.COMPLETED,
    (Place.CLAIMED, Cancelled): Place.COMPLETED,
    (Place.CLAIMED, Skipped): Place.COMPLETED,
    (Place.CLAIMED, Retried): Place.READY,
    (Place.CLAIMED, Snoozed): Place.READY,
    (Place.CLAIMED, Interrupted): Place.READY,
    (Place.CLAIMED, Begun): Place.FLOW,
}


def destination(outcome: Outcome) -> Place:
    """Where a claimed job goes with this outcome."""
    return TRANSITIONS[Place.CLAIMED, type(outcome)]


def diagram() -> str:
    """The table as a Mermaid state diagram, one line per pair of places."""
    causes: dict[tuple[Place, Place], list[str]] = {}
    for (origin, cause), target in TRANSITIONS.items():
        name = cause if isinstance(cause, str) else cause.__name__
        causes.setdefault((origin, target), []).append(name)
    lines = [
        f"    {origin} --> {target}: {', '.join(names)}"
        for (origin, target), names in causes.items()
    ]
    return "\n".join(["stateDiagram-v2", "    [*] --> ready: enqueue", *lines])
