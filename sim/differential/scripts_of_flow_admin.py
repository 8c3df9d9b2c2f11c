"""Histories of what people do with flows; the rule of `scripts.py` holds here, too."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from sim.database.rows import DecisionRow
from sim.differential.history import BASE, BEGIN, COMMIT, HOUR, ROLLBACK, History
from sim.differential.played import DONE, J1, J2, J3, enqueue, job, play, scene, waiting
from sim.differential.scripts_of_flows import flow, under_way

APPROVER: Final = '{"approval": {"approvers": ["ann"]}}'


def step(flow_id: UUID, at: str) -> str:
    """The options of a step."""
    return f'{{"step": {{"flow": "{flow_id}", "root": "{flow_id}", "at": "{at}"}}}}'


def push(definition: str, path: str = "path") -> Sequence[Any]:
    """The statement that pushes a flow."""
    return ("push_flow", path, definition, "somebody")


def ended(id_: UUID) -> Sequence[Any]:
    """The statement that ends an approval well."""
    return ("end_approvals", [id_], ["success"], [DONE], [None])


# fmt: off
FLOW_ADMIN_SCRIPTS: Final[Mapping[str, History]] = {
    "a flow is pushed again and again": play(
        scene(), (0, *push('{"n": 1}')), (0, *push('{"n":1}')), (0, *push('{"n": 2}')),
        (0, *push('{"n": 1}')), (0, *push("{")), (0, *push("{}", "")), (0, *push("{}", "p\x00")),
        (0, "read_flow", "path", None), (0, "read_flow", "path", 2), (0, "read_flow", "path", 9),
        (0, "read_flow", "nowhere", None), (0, "list_flows", 9),
    ),
    "two push a flow at once": play(
        scene(flow(1)), (0, BEGIN), (0, *push("{}")), (1, BEGIN), (1, *push("{}")), (0, COMMIT),
        (1, *push("{}")), (1, COMMIT), (0, BEGIN), (0, *push("[1]")), (1, *push("[2]")),
        (0, ROLLBACK), (0, "list_flows", 9),
    ),
    "what people see of a flow": play(
        scene(job(1), under_way(J1, J1), flow(1), flow(2)),
        (0, *enqueue(2, 3, kinds=["noop", "approval"], parents=[J1, J1],
                     options=[step(J1, "a"), step(J1, "b[0]")])),
        (0, "flow_steps", J1, 9), (0, "flow_steps", J1, 1), (0, "flow_steps", J2, 9),
        (0, "flow_version", J1), (0, "flow_version", J2), (0, "list_flows", 9),
        (0, "job_states", [J1, J2, J3]), (0, "list_approvals", 9), (0, "flow_drift", 9),
        (0, "approval_states", [J3, J2]), (0, *ended(J3)), (0, "approval_states", [J3]),
        (0, "cancel_unstarted", [J2], "x", [J1]), (0, "flow_drift", 9), (0, "job_states", [J3]),
    ),
    "a flow whose root is gone": play(
        scene(job(2), under_way(J2, J1)), (0, "flow_drift", 9), (0, "flow_drift", 1),
    ),
    "what is asked of people": play(
        scene(
            msgspec.structs.replace(job(1), options=APPROVER, parent=J3), job(2),
            msgspec.structs.replace(job(3), path="above"),
            msgspec.structs.replace(waiting(1), reason="approval", until=BASE - HOUR),
            msgspec.structs.replace(waiting(2), reason="approval"), waiting(3),
            DecisionRow(job=J1, by="cat", approved=True, form="{}", decided_at=BASE - HOUR),
            DecisionRow(job=J1, by="bob", approved=False, form='{"n": 1}', decided_at=BASE - HOUR),
        ),
        (0, "list_approvals", 9), (0, "list_approvals", 1), (0, "approval_states", [J3, J2, J1]),
        (0, "job_states", [J1, J2, J3]),
    ),
    "what a job that goes on may ask for is kept": play(
        scene(job(1)), (0, *enqueue(2, 3, parents=[J1, J2])), (0, "store_expiries", [J2], [-9.0]),
        (0, "cancel_unstarted", [J2, J3], "x", [J1]), (0, "old_jobs", 9, -3_600.0),
        (0, "expired_jobs", 9), (0, "old_jobs", 9, -3_600.0),
    ),
}
# fmt: on
