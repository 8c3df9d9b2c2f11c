"""The plans of the statements, as the worker runs them: the same however much there is to do."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import pytest

from tests.database_fixtures import NEWEST, available_versions
from tests.store.postgres.backlog import DEPTHS, EMPTY, LARGE, SMALL, Depth
from tests.store.postgres.batches import ARGUMENTS, BATCHES
from tests.store.postgres.plans import ALL_OF_IT, PLACE, planner, ways
from trioworker.store.postgres.statements import load_statements

STATEMENTS: Final = load_statements()

CLAIM: Final = {"claim_pkey", "claim_worker"}
# On an empty table one index is as good as another; the server looks again when it has grown.
READY: Final = {"ready_pkey", "ready_pull"}
WAYS: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "add_schedules": {},
    "adopt": {"claim": CLAIM, "job": {"job_pkey"}},
    "cancel_unstarted": {
        "ready": {"ready_pkey", PLACE},
        "waiting": {"waiting_pkey"},
        "flow_state": {"flow_state_pkey"},
        "job": {"job_pkey"},
    },
    "cancels_for_worker": {"claim": CLAIM},
    "child_ends": {"job": {"job_pkey"}, "job_completed": {"job_completed_pkey"}},
    "commit": {"claim": CLAIM, "job": {"job_pkey"}},
    "due_approvals": {
        "waiting": {"waiting_undecided"},
        "job": {"job_pkey"},
        "decision": {"decision_pkey"},
    },
    "due_keys": {"unique_key": {"unique_key_look"}},
    "due_limits": {
        "waiting": {"waiting_fresh", "waiting_pkey"},
        "concurrency": {"concurrency_look"},
        "job": {"job_pkey"},
    },
    "delete_jobs": {
        "decision": {"decision_pkey"},
        "expiry": {"expiry_pkey"},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
        "job_attempt": {"job_attempt_pkey"},
        "job_label": {"job_label_pkey"},
        "job_log": {"job_log_pkey"},
        "job_preprocessed": {"job_preprocessed_pkey"},
        "job_progress": {"job_progress_pkey"},
        "job_step": {"job_step_pkey"},
    },
    "delete_schedules": {"schedule": {"schedule_pkey"}},
    "due_schedules": {
        "schedule": {"schedule_look"},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
    },
    "end_approvals": {"waiting": {"waiting_pkey"}, "job": {"job_pkey"}},
    "end_flows": {"flow_state": {"flow_state_pkey"}, "job": {"job_pkey"}},
    "end_stranded": {
        "ready": {"ready_pkey", PLACE},
        "waiting": {"waiting_pkey"},
        "job": {"job_pkey"},
    },
    "hand_over": {"ready": READY, "job": {"job_pkey"}},
    "kept_flows": {"flow_state": {"flow_state_pkey", "flow_state_worker"}},
    "lost_flows": {"flow_state": {"flow_state_worker"}, "claim": CLAIM},
    "read_lost_flows": {"flow_state": {"flow_state_worker"}, "job": {"job_pkey"}},
    "restart_flows": {"flow_state": {"flow_state_pkey"}, "job": {"job_pkey"}},
    "ended_steps": {"job_completed": {"job_completed_pkey"}},
    # Which parent has ended is no property of its row: each sweep looks at all that have not.
    "ended_parents": {
        "parent": {"parent_pkey", ALL_OF_IT},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
    },
    "ended_jobs": {"job_completed": {"job_completed_pkey"}},
    "enqueue": {},
    "family": {"job": {"job_parent", "job_pkey"}, "job_completed": {"job_completed_pkey"}},
    "find_stored": {
        "job_completed": {"job_completed_pkey"},
        "job_attempt": {"job_attempt_pkey"},
    },
    "forget_keys": {"unique_key": {"unique_key_pkey", PLACE}},
    "forget_parents": {"parent": {"parent_pkey"}},
    "forget_workers": {"claim": CLAIM},
    "heartbeat": {},
    "hold_parents": {"claim": CLAIM},
    "job_attempts": {"job": {"job_pkey"}, "job_attempt": {"job_attempt_pkey"}},
    "hooked_jobs": {"job": {"job_pkey"}, "job_completed": {"job_completed_pkey"}},
    "job_origins": {"job": {"job_pkey"}},
    "job_steps": {"job_step": {"job_step_pkey"}},
    "job_logs": {"job": {"job_pkey"}, "job_log": {"job_log_pkey"}},
    "key_holders": {
        "unique_key": {"unique_key_pkey"},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
        "ready": READY,
        "waiting": {"waiting_pkey"},
    },
    "late_cancels": {
        "ready": READY,
        "waiting": {"waiting_pkey"},
        "flow_state": {"flow_state_pkey"},
    },
    "known_children": {
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
        "parent": {"parent_pkey"},
    },
    "lock_flows": {"flow_state": {"flow_state_pkey"}},
    "lock_flows_of": {"flow_state": {"flow_state_pkey"}, "job": {"job_pkey"}},
    "lock_keys": {},
    "lock_limits": {"slot": {"slot_pkey"}, "concurrency": {"concurrency_pkey"}},
    "lock_schedules": {"schedule": {"schedule_pkey"}},
    "mark_lost": {},
    # Nothing tells that a key is overlooked, so now and then all of them are looked at.
    "mend_looks": {
        "waiting": {"waiting_turn"},
        "concurrency": {"concurrency_pkey", ALL_OF_IT},
        "slot": {"slot_key"},
        "spent_slot": {"spent_slot_pkey"},
    },
    "newest_flows": {},
    "newest_scripts": {},
    "next_due": {"ready": {"ready_pull"}},
    "next_look": {"waiting": {"waiting_fresh"}, "concurrency": {"concurrency_look"}},
    "notify_done": {},
    "notify_ready": {},
    "own_children": {"claim": CLAIM, "job": {"job_pkey"}},
    "plan_looks": {
        "waiting": {"waiting_turn"},
        "concurrency": {"concurrency_pkey"},
        "slot": {"slot_key"},
        "spent_slot": {"spent_slot_pkey"},
    },
    "promote": {
        "concurrency": {"concurrency_pkey"},
        "waiting": {"waiting_turn", "waiting_pkey"},
        "slot": {"slot_key"},
        "spent_slot": {"spent_slot_pkey"},
        "job": {"job_pkey"},
    },
    "pull": {"ready": {"ready_pull", PLACE}, "job": {"job_pkey"}},
    "read_approval": {
        "waiting": {"waiting_pkey"},
        "job": {"job_pkey"},
        "decision": {"decision_pkey"},
    },
    "read_flows": {"flow_state": {"flow_state_pkey"}, "job": {"job_pkey"}},
    # Which worker is dead is no property of a claim: each sweep looks at all of them.
    "reap": {"claim": CLAIM | {ALL_OF_IT}, "job": {"job_pkey"}},
    # No index finds the claim of a job: the claims are as many as the batches under way.
    "release_slots": {
        "slot": {"slot_pkey"},
        "concurrency": {"concurrency_pkey"},
        "ready": {"ready_pkey", PLACE},
    },
    "replace_jobs": {
        "ready": {"ready_pkey", PLACE},
        "waiting": {"waiting_pkey", "waiting_turn"},
        "slot": {"slot_pkey"},
        "job": {"job_pkey"},
    },
    "request_cancel": {
        "claim": {ALL_OF_IT},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
    },
    "register_worker": {},
    "requeue_jobs": {
        "expiry": {"expiry_pkey"},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey", "job_completed_unsuccessful"},
        "job_label": {"job_label_pkey"},
    },
    "retire_worker": {},
    "expired_jobs": {
        "expiry": {"expiry_at", "expiry_pkey"},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
    },
    "old_jobs": {
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey", "job_completed_foreign"},
    },
    "store_attempts": {},
    "store_decision": {},
    "store_expiries": {},
    "store_flows": {},
    "store_labels": {},
    "store_locks": {},
    "store_preprocessed": {},
    "store_progress": {},
    "follow_logs": {
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
        "job_log": {"job_log_pkey"},
    },
    "store_logs": {"job_log": {"job_log_pkey", PLACE}},
    "cached_results": {"result_cache": {"result_cache_pkey"}},
    "store_results": {},
    "forget_results": {"result_cache": {"result_cache_expiry", PLACE}},
    "store_steps": {"claim": CLAIM},
    "store_running": {"claim": CLAIM, "job_log": {"job_log_pkey", PLACE}},
    "take_keys": {"unique_key": {"unique_key_pkey"}},
    "take_slots": {},
    "store_schedules": {"schedule": {"schedule_pkey"}},
    "sweep_cancels": {"job": {"job_pkey"}, "job_completed": {"job_completed_pkey"}},
    "take_back_jobs": {
        "ready": {"ready_pkey", PLACE},
        "waiting": {"waiting_pkey"},
        "job": {"job_pkey"},
    },
    "unfinished_jobs": {"job": {"job_pkey"}, "job_completed": {"job_completed_pkey"}},
}
"""By which indexes each statement of the worker and of a busy client reads what can grow."""

PEOPLES: Final[Mapping[str, Mapping[str, set[str]]]] = {
    "preprocessed_args": {"job_preprocessed": {"job_preprocessed_pkey"}},
    "children": {"job": {"job_parent"}},
    "dead_letters": {
        "job": {"job_pkey"},
        "job_completed": {"job_completed_unsuccessful"},
    },
    "job_states": {
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey"},
        "job_label": {"job_label_pkey"},
        "job_progress": {"job_progress_pkey"},
        "ready": {"ready_pkey"},
        "waiting": {"waiting_pkey"},
        "flow_state": {"flow_state_pkey"},
        "claim": {ALL_OF_IT},
    },
    "place_in_line": {
        "waiting": {"waiting_pkey", "waiting_turn"},
        "concurrency": {"concurrency_pkey"},
        "slot": {"slot_key"},
        "spent_slot": {"spent_slot_pkey"},
    },
    "approval_states": {
        "waiting": {"waiting_pkey"},
        "job": {"job_pkey"},
        "decision": {"decision_pkey"},
    },
    "flow_steps": {"job": {"job_parent"}},
    "flow_version": {"flow_state": {"flow_state_pkey"}},
    "list_approvals": {"waiting": {"waiting_undecided"}},
    "list_jobs": {
        "job_label": {"job_label_newest"},
        "job": {"job_pkey"},
        "job_completed": {"job_completed_pkey", "job_completed_unsuccessful"},
        "ready": {"ready_pkey"},
        "waiting": {"waiting_pkey"},
        "flow_state": {"flow_state_pkey"},
        "claim": {ALL_OF_IT},
    },
}
"""The same for what people ask now and then, on a queue that has something to show."""

TOO_SMALL_TO_MATTER: Final = {"add_token", "clock", "deploy_script", "list_tokens", "list_workers",
                              "lock_migrations", "ping", "push_flow", "read_flow", "read_script",
                              "record_migration", "revoke_tokens", "schema_version",
                              "server_version", "token_of_worker", "token_standing"}  # fmt: skip
COUNTS_ALL: Final = {"count_jobs", "flow_drift", "limit_drift", "list_flows", "list_schedules",
                     "list_scripts"}  # fmt: skip


def faults(
    found: Mapping[str, frozenset[str]], agreed: Mapping[str, set[str]]
) -> Mapping[str, frozenset[str]]:
    """By what else than agreed a plan reads which table; tables it should read and does not."""
    wrong = {table: by - agreed.get(table, set()) for table, by in found.items()}
    missing = {table: frozenset({"not read"}) for table in agreed.keys() - found.keys()}
    return {table: by for table, by in wrong.items() if by} | missing


def places(depths: tuple[Depth, ...]) -> list[object]:
    """Each depth on the newest PostgreSQL, and those that are made quickly on all others."""
    return [
        pytest.param(version, depth, id=f"postgres{version}-{depth.name}")
        for depth in depths
        for version in available_versions()
        if version == NEWEST or depth is not LARGE
    ]


def test_a_workers_connections_are_told_how_to_plan(settings: Mapping[str, str]) -> None:
    """No plan per execution, no compiler, and no reading of whole tables if that can be helped."""
    assert settings["plan_cache_mode"] == "force_generic_plan"
    assert (settings["jit"], settings["enable_seqscan"]) == ("off", "off")
    assert settings["synchronous_commit"] == "off"


def test_each_statement_has_its_plan_agreed() -> None:
    """A new statement says here by what it reads, or why that does not matter."""
    assert sorted([*WAYS, *PEOPLES, *TOO_SMALL_TO_MATTER, *COUNTS_ALL]) == sorted(STATEMENTS)


@pytest.mark.parametrize(("version", "depth"), places(tuple(DEPTHS)))
def test_no_plan_depends_on_how_much_there_is(
    version: int,
    depth: Depth,
    queue_of: Callable[[int, Depth], str],
    settings: Mapping[str, str],
) -> None:
    """Nothing there yet, nothing left, 1,000 jobs or a million: by the same indexes."""
    with planner(queue_of(version, depth), settings) as plans:
        wrong = {
            name: found
            for name, agreed in WAYS.items()
            if (found := faults(ways(plans.plan(STATEMENTS[name].sql)), agreed))
        }
    assert wrong == {}


@pytest.mark.parametrize("depth", [SMALL, LARGE], ids=lambda depth: depth.name)
@pytest.mark.parametrize("batch", BATCHES)
def test_no_plan_depends_on_the_size_of_the_batch(
    batch: int, depth: Depth, queue_of: Callable[[int, Depth], str], settings: Mapping[str, str]
) -> None:
    """A thousand jobs are found as one is: each by an index, and none by reading all of them."""
    with planner(queue_of(NEWEST, depth), settings) as plans:
        for name, arguments in ARGUMENTS.items():
            plan = plans.plan(STATEMENTS[name].sql, arguments(depth, batch))
            assert faults(ways(plan), WAYS[name]) == {}, name


@pytest.mark.parametrize(("version", "depth"), places((SMALL, LARGE)))
def test_what_people_ask_reads_no_whole_table(
    version: int,
    depth: Depth,
    queue_of: Callable[[int, Depth], str],
    settings: Mapping[str, str],
) -> None:
    """Looking for jobs goes by indexes."""
    with planner(queue_of(version, depth), settings) as plans:
        for name, agreed in PEOPLES.items():
            assert faults(ways(plans.plan(STATEMENTS[name].sql)), agreed) == {}


class Damage(NamedTuple):
    """A statement that lost a part of its shape, and which table its plan then misreads where."""

    name: str
    good: str
    bad: str
    depth: Depth
    table: str


@pytest.mark.parametrize(
    "damage",
    [
        Damage("pull", " offset 0", "", EMPTY, "job"),
        Damage(
            "pull",
            "ctid = any (array(select place from batch))",
            "id in (select id from batch)",
            SMALL,
            "ready",
        ),
        Damage(
            "commit",
            "kept.claim and claim.id = any ($2::uuid[])",
            "kept.claim",
            LARGE,
            "claim",
        ),
        Damage("commit", " offset 0", "", EMPTY, "job"),
        Damage("reap", " offset 0", "", EMPTY, "job"),
    ],
    ids=lambda damage: f"{damage.name}-{damage.depth.name}",
)
def test_a_statement_that_lost_its_shape_is_found(
    damage: Damage, queue_of: Callable[[int, Depth], str], settings: Mapping[str, str]
) -> None:
    """What keeps a plan from flipping is needed: without it the tests of this file fail."""
    sql = STATEMENTS[damage.name].sql
    assert damage.good in sql
    with planner(queue_of(NEWEST, damage.depth), settings) as plans:
        found = ways(plans.plan(sql.replace(damage.good, damage.bad)))
    assert list(faults(found, WAYS[damage.name])) == [damage.table]


def test_a_connection_that_lost_its_settings_is_found(
    queue_of: Callable[[int, Depth], str], settings: Mapping[str, str]
) -> None:
    """A plan made on an empty queue would read whole tables for each job, ever after."""
    careless = dict(settings) | {"enable_seqscan": "on"}
    with planner(queue_of(NEWEST, EMPTY), careless) as plans:
        found = ways(plans.plan(STATEMENTS["pull"].sql))
    assert faults(found, WAYS["pull"]) == {"ready": {ALL_OF_IT}, "job": {ALL_OF_IT}}
