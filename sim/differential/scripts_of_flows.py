"""Histories of flows and approvals that every run plays; the rule of `scripts.py` holds here."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.rows import DecisionRow, FlowRow, FlowStateRow
from sim.differential.arguments_of_flows import TOO_LONG_AGO
from sim.differential.history import BASE, BEGIN, COMMIT, HOUR, ROLLBACK, History
from sim.differential.played import (
    CANCEL,
    DONE,
    J1,
    J2,
    J3,
    PULL,
    W1,
    claim,
    commit,
    enqueue,
    job,
    play,
    scene,
    waiting,
    worker,
)


def flow(version: int) -> FlowRow:
    """A version of the flow of all jobs."""
    definition = f'{{"version": {version}}}'
    return FlowRow(path="path", version=version, definition=definition, created_at=BASE)


def under_way(id_: UUID, root: UUID, **fields: object) -> FlowStateRow:
    """A flow that has begun."""
    row = FlowStateRow(
        id=id_, root=root, path="path", version=1, state="{}", attempt=1, reaped=0,
        began_at=BASE - HOUR,
    )  # fmt: skip
    return msgspec.structs.replace(row, **fields)


def store(id_: UUID, root: UUID, state: str) -> Sequence[Any]:
    """The statement that stores how far a flow is."""
    return ("store_flows", [id_], [root], ["path"], [1], [state], [1], [0], [W1])


def end(*ids: UUID) -> Sequence[Any]:
    """The statement that ends flows well."""
    many = len(ids)
    return ("end_flows", list(ids), ["success"] * many, [DONE] * many, [None] * many,
            [2] * many, [1] * many, W1)  # fmt: skip


def end_approvals(*ids: UUID) -> Sequence[Any]:
    """The statement that ends approvals well."""
    many = len(ids)
    return ("end_approvals", list(ids), ["success"] * many, [DONE] * many, [None] * many)


UNDER_WAY: Final = scene(
    job(1), job(2), job(3), under_way(J1, J1), under_way(J2, J1), flow(1), worker(1)
)
ASKED: Final = scene(
    job(1), job(2),
    msgspec.structs.replace(waiting(1), reason="approval", until=BASE - HOUR),
    msgspec.structs.replace(waiting(2), reason="approval"),
    DecisionRow(job=J1, by="bob", approved=True, form="{}", decided_at=BASE - HOUR),
)  # fmt: skip

# fmt: off
FLOW_SCRIPTS: Final[Mapping[str, History]] = {
    "a flow from its beginning to its end": play(
        scene(job(1), claim(1, 1), worker(1), flow(1), flow(2)), (0, BEGIN),
        (0, *commit(1, 1, statuses=["begun"], errors=[None], delays=[None], charged=[False])),
        (0, "newest_flows", ["path", "nowhere"]), (0, *store(J1, J1, '{"at": 1}')),
        (0, *enqueue(2, 3, kinds=["noop", "flow"], parents=[J1, J1])), (0, COMMIT),
        (0, "job_states", [J1, J2]), (0, "list_jobs", "waiting", None, None, 9, None, None),
        (0, "count_jobs"), (0, "limit_drift", 9), (0, "request_cancel", [J1], "enough"),
        (0, "late_cancels", 9), (0, BEGIN), (0, "lock_flows", [J1, J2]),
        (1, BEGIN), (1, "lock_flows_of", [J3]), (0, "read_flows", [J1, J2]),
        (0, *store(J1, J1, '{"at": 2}')), (0, COMMIT), (1, "read_flows", [J1]),
        (1, "ended_steps", [J1, J2]), (1, *end(J1)), (1, COMMIT), (0, "ended_steps", [J2, J1]),
        (0, *end(J1)), (0, "job_states", [J1]),
    ),
    "two move one family of flows": play(
        UNDER_WAY, (0, BEGIN), (0, "lock_flows", [J1]), (1, BEGIN), (1, "lock_flows", [J1]),
        (0, *end(J2)), (0, *store(J1, J1, '{"n": 1}')), (0, COMMIT), (1, "read_flows", [J1, J2]),
        (1, *end(J1)), (1, COMMIT),
    ),
    "a flow that ended meanwhile is not locked": play(
        UNDER_WAY, (0, BEGIN), (0, *end(J1)), (1, "lock_flows", [J1, J2]), (0, COMMIT),
    ),
    "a flow that is gone begins once more": play(
        UNDER_WAY, (0, BEGIN), (0, *end(J1)), (1, *store(J1, J1, '{"n": 1}')), (0, COMMIT),
    ),
    "a flow is cancelled while it moves": play(
        UNDER_WAY, (0, BEGIN), (0, "lock_flows_of", [J2]), (1, *CANCEL), (0, *end(J2)),
        (0, COMMIT), (0, *end(J1)),
    ),
    "a flow that is cancelled is not ended": play(
        UNDER_WAY, (0, BEGIN), (0, *CANCEL), (1, *end(J1, J2, J3)), (0, COMMIT),
    ),
    "one state comes twice": play(
        UNDER_WAY,
        (0, "store_flows", [J1] * 2, [J1] * 2, ["path"] * 2, [1] * 2, ["{}"] * 2, [1] * 2, [0] * 2,
         [None] * 2),
    ),
    "longer than a duration can say": play(
        scene(job(1), under_way(J1, J1, began_at=BASE - TOO_LONG_AGO * HOUR)), (0, *end(J1)),
    ),
    "what is to be decided is never pulled": play(
        scene(worker(1)),
        (0, *enqueue(1, 2, 3, kinds=["approval", "approval", "noop"],
                     due=[BASE - HOUR, None, None])),
        (0, *PULL), (0, "due_approvals", 9), (0, "read_approval", J1), (0, "read_approval", J3),
    ),
    "two decide at once": play(
        ASKED, (0, BEGIN), (0, "read_approval", J2), (1, BEGIN), (1, "read_approval", J2),
        (0, "store_decision", J2, "ann", True, '{"a": 1}'), (0, COMMIT), (1, "read_approval", J2),
        (1, "store_decision", J2, "ann", False, "{}"), (1, ROLLBACK),
        (1, "store_decision", J2, "bob", True, "[]"), (1, "read_approval", J2),
    ),
    "somebody decides when the time is over": play(
        ASKED, (0, "due_approvals", 9), (0, BEGIN), (0, *end_approvals(J1)),
        (1, "read_approval", J1), (2, *end_approvals(J2, J1)), (0, COMMIT), (1, "due_approvals", 9),
        (0, "delete_jobs", [J1]),
    ),
    "no such decision": play(
        ASKED, (0, "store_decision", J1, "", True, "{}"),
        (0, "store_decision", J1, "ann", True, "{"),
        (0, "store_decision", J1, "ann", True, "nul \x00"),
    ),
}
# fmt: on
