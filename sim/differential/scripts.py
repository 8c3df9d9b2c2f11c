"""Histories that once told the model from PostgreSQL, or that chance would bring about too seldom.

Rule of this file: each has its reason in its name and goes through both sides in every run, before
those that Hypothesis makes up.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from sim.database.rows import SlotRow, UniqueKeyRow
from sim.differential.arguments_of_limits import LIMITED
from sim.differential.history import (
    BASE,
    BEGIN,
    CLAIMS,
    COMMIT,
    HOUR,
    JOBS,
    KILL,
    ROLLBACK,
    History,
)
from sim.differential.played import (
    ALIVE,
    BACK,
    BLUE,
    C1,
    C2,
    CANCEL,
    HEARTBEAT,
    HELD,
    HOURLY,
    J1,
    J2,
    J3,
    LOCK,
    NIGHTLY,
    PROMOTE,
    PULL,
    READY,
    RED,
    RETIRE,
    T1,
    T2,
    W1,
    W2,
    claim,
    commit,
    enqueue,
    failed,
    flush,
    in_line,
    job,
    play,
    ready,
    returns,
    scene,
    store_schedules,
    waiting,
    worker,
)
from sim.differential.scenes import SHORT_LEASE_S
from sim.differential.scripts_of_deploys import DEPLOY_SCRIPTS
from sim.differential.scripts_of_flow_admin import FLOW_ADMIN_SCRIPTS
from sim.differential.scripts_of_flows import FLOW_SCRIPTS
from sim.differential.scripts_of_same_worker import SAME_WORKER_SCRIPTS
from sim.differential.scripts_of_workflow import WORKFLOW_SCRIPTS

# fmt: off
SCRIPTS: Final[Mapping[str, History]] = {
    "a heartbeat reads the clock before it waits": play(ALIVE, *BACK[:3], (0, ROLLBACK)),
    "and again when it finds another row": play(ALIVE, *BACK[:3], (0, COMMIT)),
    "a line behind a row is kept when the first one goes back": play(ALIVE, *BACK, (0, KILL)),
    "a line is a race when the row was changed": play(
        ALIVE, *BACK[:2], (1, BEGIN), *BACK[2:], (0, COMMIT), (0, *RETIRE), (1, COMMIT)
    ),
    "one in the middle of a line dies": play(ALIVE, *BACK, (2, KILL), (1, KILL), (0, COMMIT)),
    "who comes to lock keeps his place behind a changed row": play(
        scene(job(1), job(2), claim(1, 1, 2)), (0, BEGIN), (0, *commit(1, 1)), (1, BEGIN),
        (1, *commit(1, 1)), (2, *commit(1, 1)), (3, BEGIN), (3, *commit(1, 2)), (0, COMMIT),
        (0, *commit(1, 2)), (1, ROLLBACK), (3, ROLLBACK),
    ),
    "who stands first in two lines behind one row is open": play(
        scene(job(1), job(2), claim(1, 1, 2)), (0, BEGIN), (0, *commit(1, 1)), (1, BEGIN),
        (1, *commit(1, 1)), (2, *commit(1, 1)), (0, COMMIT), (0, BEGIN), (0, *commit(1, 1)),
        (1, ROLLBACK),
    ),
    "and what no longer fits is locked all the same": play(
        scene(worker(1, lease_s=SHORT_LEASE_S)), (0, BEGIN), (0, "mark_lost", 9), (1, BEGIN),
        (1, *HEARTBEAT), (0, COMMIT), (2, *RETIRE), (1, ROLLBACK),
    ),
    "who waited for a key sees who took it": play(
        scene(job(1), ready(1)), (0, BEGIN), (0, "lock_keys", ["unique"], ["k"]),
        (1, BEGIN), (1, "lock_keys", ["unique", "unique"], ["l", "k"]),
        (0, "take_keys", ["unique"], ["k"], [J1], ["unfinished"], [None], [None], 7_200.0),
        (0, COMMIT), (1, "key_holders", [J1, J2], ["unique"] * 2, ["k", "l"]), (1, COMMIT),
    ),
    "a job that is claimed meanwhile is not replaced": play(
        READY, (0, BEGIN), (0, *PULL), (1, "replace_jobs", [J1, J2], [J2, J1]), (0, COMMIT),
    ),
    "the slot of a replaced job waits for a look": play(
        scene(job(1), ready(1), SlotRow(id=J1, key="k"), job(2), in_line(2), in_line(3)),
        (0, BEGIN), (0, "cancel_unstarted", [J2], "enough", []), (1, "replace_jobs", [J1], [J3]),
        (0, ROLLBACK), (1, "due_limits", 9),
    ),
    "what holds a key is not forgotten": play(
        scene(
            UniqueKeyRow(sort="unique", key="k", job=J1, during="queued", look_at=BASE - HOUR),
            UniqueKeyRow(sort="unique", key="l", job=J2, during="queued", look_at=BASE - HOUR),
            job(1), ready(1), job(2),
        ),
        (0, BEGIN), (0, "due_keys", 9), (1, "due_keys", 9),
        (1, "lock_keys", ["unique"], ["l"]),
        (0, "forget_keys", ["unique"] * 2, ["k", "l"], [True, False], 7_200.0), (0, COMMIT),
        (1, "forget_workers", 9, 0.0),
    ),
    "advisory locks are handed on in order": play(
        {}, (0, BEGIN), (0, "lock_migrations"), (0, "lock_migrations"), (1, BEGIN),
        (1, "lock_migrations"), (2, "lock_migrations"), (3, "lock_migrations"), (0, COMMIT),
    ),
    "a circle of two": play(
        HELD, (0, BEGIN), (0, *commit(1, 1)), (1, BEGIN), (1, *commit(2, 2)),
        (0, *commit(2, 2)), (1, *commit(1, 1)), (1, COMMIT),
    ),
    "a circle of three, through a line": play(
        ALIVE, (0, BEGIN), (0, *HEARTBEAT), (1, BEGIN), (1, "retire_worker", W2), (2, BEGIN),
        (2, "record_migration", 9, "x"), (1, *HEARTBEAT), (2, *HEARTBEAT),
        (0, "record_migration", 9, "x"),
    ),
    "an id that is enqueued twice at once": play({}, (0, *enqueue(1, 1))),
    "an enqueue waits for another, who goes back": play(
        {}, (0, BEGIN), (0, *enqueue(1)), (1, *enqueue(1)), (2, *enqueue(1)), (0, ROLLBACK)
    ),
    "a job is ready although nobody asked for it": play(
        scene(ready(1), worker(1)), (0, "list_jobs", "ready", None, None, 9, None, None),
        (0, *PULL), (0, "list_jobs", "running", None, None, 9, None, None), (0, *enqueue(1)),
        (0, *commit(1, 1)),
    ),
    "no NUL in JSON": play(HELD, (0, *commit(1, 1, result='"\\u0000"')), (0, *commit(1, 1))),
    "no NUL in text": play(
        HELD, (0, BEGIN), (0, "store_logs", [J1], [1], [0], ["nul \x00"]), (0, *HEARTBEAT),
        (0, COMMIT), (0, "cancel_unstarted", [J1], "\x00", []),
        (0, *commit(1, 1, result='"\x00"')),
    ),
    "all that can be looked at": play(
        scene(job(1), job(2), job(3), ready(1), waiting(2), claim(2, 3), worker(2)),
        (0, "clock"), (0, "ping"), (0, "server_version"), (0, "schema_version"), (0, "count_jobs"),
        (0, "list_workers", 9), (0, "next_due", [RED]), (0, "adopt", W2, []),
        (0, "adopt", W2, [C2]), (0, "job_states", [J3, J1, J2]), (0, "ended_jobs", [J1]),
        (0, "job_logs", J1), (0, "job_attempts", J1), (0, "family", [J2, J1], 9),
        (0, *commit(2, 3)), (0, "find_stored", W2, [J3, J3, J1], [1, 2, 1]),
        (0, "store_logs", [J3], [1], [0], ["line"]), (0, "job_logs", J3),
        (0, "ended_jobs", [J3, J3]), (0, "request_cancel", [J1, J3], "enough"),
        (0, "cancels_for_worker", W2),
        (0, "list_jobs", None, RED, "path", 2, None, None),
        (0, "list_jobs", "success", None, None, 9, None, None),
    ),
    "no such number": play(HELD, (0, *commit(1, 1, result="1e999999"))),
    "no status, no charge, no end of time": play(
        HELD, (0, *commit(1, 1, statuses=[None], errors=[None], delays=[None], charged=[None])),
        (0, *returns(1, 1, charged=[None])), (0, *returns(1, 1, delays=[1e300])),
        (0, *commit(1, 1, ages=[float("nan")])),
    ),
    "no such status, priority or lease": play(
        HELD, (0, *commit(1, 1, statuses=["splendid"], errors=[None], delays=[None],
                            charged=[False])),
        (0, *enqueue(3, priorities=[1_001])), (0, *enqueue(3, kinds=["poem"])),
        (0, "register_worker", W1, "w", "h", 1, "worker", [RED], [0], 0.0, None),
    ),
    "a job is given back although it is ready": play(
        scene(job(1), ready(1), claim(1, 1)), (0, *returns(1, 1))
    ),
    "a batch gives back before it finishes": play(
        scene(job(1), job(2), claim(1, 1, 2)), (0, BEGIN), (0, *enqueue(3)), (1, BEGIN),
        (1, *commit(1, 1, 2, statuses=["splendid", None], errors=[None] * 2, delays=[None, 0.0],
                     charged=[False, None])),
    ),
    "what was given up too often for a smallint": play(
        scene(job(1), claim(1, 1, reaped=(2**15 - 1,))), (0, "reap", 9, 2**15 - 1),
        (0, "reap", 9, 0),
    ),
    "a refused argument that the driver keeps to itself": play(
        ALIVE, (0, BEGIN), (0, "heartbeat", W1, 1, 1, 2**31), (0, *HEARTBEAT), (0, COMMIT)
    ),
    "a failed transaction takes nothing more": play(
        READY, (0, BEGIN), (0, *PULL), (0, "store_logs", [J1, J1], [1, 1], [0, 0], ["a", "b"]),
        (0, *PULL), (0, "heartbeat", W1, 1, 1, 2**31), (0, COMMIT), (0, *PULL),
    ),
    "a cancellation locks waiting after ready": play(
        scene(job(1), job(2), ready(1), waiting(2)), (0, BEGIN),
        (0, "cancel_unstarted", [J2], "first", []), (1, BEGIN), (1, *CANCEL), (2, *PULL),
        (0, ROLLBACK), (1, COMMIT),
    ),
    "a job is cancelled in two places": play(
        scene(job(1), ready(1), waiting(1)), (0, *CANCEL)
    ),
    "a cancellation waits for a pull, that goes back": play(
        READY, (0, BEGIN), (0, *PULL), (1, *CANCEL), (2, *PULL), (0, ROLLBACK)
    ),
    "a cancellation waits for a pull, in vain": play(
        READY, (0, BEGIN), (0, *PULL), (1, *CANCEL), (0, COMMIT),
        (1, "request_cancel", [J1, J2], "enough"), (1, "request_cancel", [J1, J2], "enough"),
        (0, "sweep_cancels"),
    ),
    "a last chance comes alone": play(
        scene(job(1), job(2), job(3), ready(1), ready(2, reaped=3), ready(3), worker(1)),
        (0, *PULL), (0, "pull", C2, *PULL[2:]), (0, "pull", CLAIMS[2], *PULL[2:]),
    ),
    "a higher rank goes before a higher priority": play(
        scene(job(1), job(2), ready(1), ready(2, tag=BLUE, priority=-5), worker(1)),
        (0, "pull", C1, W1, 1, [RED, BLUE], [], [], [], [], 3, [0, 5]),
        (0, "pull", C2, W1, 9, [BLUE, RED], [], [], [], [], 3, [-5, 0]),
    ),
    "a lost attempt is remembered, but is no outcome": play(
        scene(job(1), job(2), claim(1, 1, 2)),
        (0, "store_attempts", W1, [J1], [1], ['{"name": "E"}'], [3600.0], [20]), (0, "reap", 9, 3),
        (0, "job_attempts", J1), (0, "job_attempts", J2),
        (0, "find_stored", W1, [J1, J2], [1, 1]), (0, "find_stored", W2, [J1], [1]),
    ),
    "a slot goes from one job to the next": play(
        scene(worker(1)), (0, *enqueue(1, 2, options=[LIMITED] * 2)), (0, *LOCK), (0, *PROMOTE),
        (0, *PULL), (1, BEGIN), (1, *commit(1, 1)), (1, "lock_limits", [J1], [], [], [], []),
        (2, BEGIN), (2, *LOCK), (1, "release_slots", [J1], [True]), (1, *PROMOTE),
        (1, "plan_looks", ["k"]), (0, "limit_drift", 9), (1, COMMIT), (2, *PROMOTE),
        (2, "plan_looks", ["k"]), (2, COMMIT), (0, "next_look"), (0, "due_limits", 9),
        (0, "take_slots", [J1, J2], ["k", "k"]), (0, "limit_drift", 9), (0, "mend_looks", 9),
        (0, "place_in_line", J1), (0, "place_in_line", J2), (0, "cached_results", ["k"]),
        (0, "store_results", ["k"], [J1], ["1"], [0.0]), (0, "forget_results", 9),
    ),
    "a schedule from its beginning to its end": play(
        scene(job(1), job(2), ready(1)), (0, "add_schedules", [NIGHTLY], ["{}"]),
        (0, "add_schedules", [NIGHTLY, HOURLY], ["{}", '{"n": 2}']), (0, BEGIN),
        (0, "lock_schedules", [HOURLY, NIGHTLY]), (0, *store_schedules(J1)), (0, COMMIT),
        (0, "due_schedules", 9), (0, "unfinished_jobs", [J1, J2, J3]), (0, "hooked_jobs", [J1]),
        (0, "take_back_jobs", [J1, J2], [BASE - HOUR]), (0, "due_schedules", 9),
        (0, "list_schedules", None, 9), (0, "list_schedules", [HOURLY], 9),
        (0, "delete_schedules", [NIGHTLY]), (0, "lock_schedules", [NIGHTLY, HOURLY]),
    ),
    "a sweep passes over a schedule that somebody advances": play(
        scene(job(1), job(2)), (0, "add_schedules", [NIGHTLY], ["{}"]),
        (0, *store_schedules(J3)), (0, BEGIN), (0, "lock_schedules", [NIGHTLY]), (0, *enqueue(4)),
        (1, "due_schedules", 9), (2, "lock_schedules", [NIGHTLY]), (0, *store_schedules(JOBS[3])),
        (0, COMMIT), (1, "due_schedules", 9), (1, "unfinished_jobs", [JOBS[3]]),
    ),
    "a job is pulled, cancelled and taken back at once": play(
        READY, (0, BEGIN), (0, *PULL), (1, "take_back_jobs", [J1, J2], [BASE - HOUR]),
        (0, ROLLBACK), (2, BEGIN), (2, "cancel_unstarted", [J2], "enough", []),
        (1, "take_back_jobs", [J1, J2], [BASE - HOUR]), (2, COMMIT), (0, *PULL),
    ),
    "an ended job is labelled, expires, and is run once more": play(
        scene(job(1), job(2), job(3), failed(1), failed(2), failed(3)),
        (0, "store_labels", [J1, J1, J2], ["a", "b", "a"]), (0, "store_labels", [J1], ["a"]),
        (0, "store_expiries", [J1, J2], [0.0, -3600.0]), (0, "job_states", [J1, J2]),
        (0, "list_jobs", None, None, None, 9, None, "a"), (0, "job_origins", [J1, J3]),
        (0, "dead_letters", "failure", None, RED, None, BASE + HOUR, J1, 9), (0, BEGIN),
        (0, "requeue_jobs", [J2, J1]), (1, "expired_jobs", 9), (2, "requeue_jobs", [J3, J2]),
        (0, COMMIT), (0, BEGIN), (0, "old_jobs", 9, 60.0), (1, "requeue_jobs", [J3]),
        (2, "old_jobs", 9, 60.0), (0, "delete_jobs", [J3, J1]), (0, COMMIT),
        (0, "job_attempts", J1), (0, *PULL),
    ),
    "a success is not run once more": play(
        scene(job(1), job(2), failed(1), msgspec.structs.replace(failed(2), status="success")),
        (0, "requeue_jobs", [J2, J1]),
    ),
    "an expiry for nothing": play(
        scene(job(1), ready(1)), (0, "store_expiries", [J1, J2], [0.0, 0.0]),
        (0, "expired_jobs", 9), (0, "delete_jobs", [J1, J2]), (0, *PULL),
    ),
    "a token is made, used and revoked": play(
        {}, (0, "add_token", T1, "gpu", [RED], [3], BASE + HOUR, "me"),
        (0, "add_token", T2, "gpu", [RED], [0], BASE - HOUR, "me"),
        (0, "add_token", T1, "cpu", [], [], None, "me"), (0, "token_standing", T1),
        (0, "register_worker", W1, "w", "h", 1, "agent", [RED], [0], 60.0, T1),
        (0, "register_worker", W1, "w", "h", 1, "agent", [RED], [0], 60.0, T2),
        (0, "token_of_worker", W1), (0, "token_of_worker", W2), (0, "list_tokens", 9), (0, BEGIN),
        (0, "revoke_tokens", [T1]), (1, "token_standing", T1), (2, "revoke_tokens", [T2, T1]),
        (0, COMMIT), (0, "token_standing", T1), (0, *RETIRE), (0, "list_tokens", 9),
    ),
    "what has no other history": play(
        {}, (0, "store_results", ["r"], [J1], ["1"], [7_200.0]), (0, "cached_results", ["r"]),
        (0, "forget_results", 9), (0, "mend_looks", 9), (0, "sweep_cancels"),
    ),
    "a pull reads the clock before it waits for the name of its claim": play(
        scene(msgspec.structs.replace(job(1), options='{"deadline": "2027-01-01T00:00:00Z"}'),
              ready(1), ready(2, tag=BLUE), worker(1)),
        (1, BEGIN), (1, "pull", C1, W1, 1, [BLUE], [], [], [], [], 3, [0]), (0, *PULL),
        (1, ROLLBACK),
    ),
    "two write one log": play(
        {}, (0, BEGIN), (0, "store_logs", [J1], [1], [0], ["a"]),
        (1, "store_logs", [J1], [1], [0], ["b"]), (2, "store_logs", [J1], [1], [0], ["c"]),
        (0, COMMIT), (0, "store_logs", [J1], [1], [0], ["d"]),
    ),
    "a flush and a commit of the same job": play(
        HELD, (0, *flush([J1, J2], [0, 0], ["a", "b"], [None, 0.5])),
        (0, *flush([J1], [0], ["not mine"], [0.9], worker=W2, number=2)), (0, BEGIN),
        (0, *commit(1, 1)), (1, *flush([J1], [1], ["late"], [0.9], number=2)),
        (0, "store_progress", [J1], [1], [0.75], ["x"]),
        (0, "store_logs", [J1], [1], [1], ["end"]), (0, COMMIT), (0, "follow_logs", J1, 1, 1),
        (0, "follow_logs", J2, 1, 0), (0, "follow_logs", J3, 1, 0), (0, "job_states", [J1, J2]),
    ),
    "a run that begins anew drops what the one before it wrote": play(
        HELD, (0, *flush([J1], [0], ["a"], [0.5])), (0, *flush([J1], [1], ["b"], [None], number=2)),
        (0, *flush([J1], [2], ["c"], [0.75], number=3)), (0, *flush([J1], [0], ["again"], [0.5])),
        (0, BEGIN), (0, *flush([J1], [0], [""], [0.5], number=4)),
        (0, *flush([J1], [0], ["x"], [0.25], number=5)), (1, "job_states", [J1, J2]),
        (1, "job_logs", J1),
        (1, "store_logs", [J1], [1], [1], ["y"]), (0, COMMIT), (0, "job_logs", J1),
    ),
    "the same news twice is told once": play(
        {}, (0, BEGIN), (0, "notify_done", [J1, J1, J2]), (0, "notify_done", [J1]), (0, COMMIT),
        (1, "notify_ready", [RED, RED]), (2, BEGIN), (2, "notify_done", [J3]), (2, ROLLBACK),
    ),
    **DEPLOY_SCRIPTS,
    **FLOW_ADMIN_SCRIPTS,
    **FLOW_SCRIPTS,
    **SAME_WORKER_SCRIPTS,
    **WORKFLOW_SCRIPTS,
}
# fmt: on
