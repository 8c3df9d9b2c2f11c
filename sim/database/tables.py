"""All tables of the schema, with the checks of their columns and constraints.

The constraints are those of `migrations/*.sql`; a differential test holds the two together.
"""

import json
from typing import Any, Final

from sim.database import values
from sim.database.rows import (
    AttemptRow,
    CancelRow,
    ClaimRow,
    CompletedRow,
    ConcurrencyRow,
    DecisionRow,
    ExpiryRow,
    FlowRow,
    FlowStateRow,
    JobRow,
    LabelRow,
    LogRow,
    MigrationRow,
    ParentRow,
    PreprocessedRow,
    ProgressRow,
    ReadyRow,
    ResultRow,
    Row,
    ScheduleRow,
    ScriptRow,
    SlotRow,
    SpentRow,
    StepRow,
    TokenRow,
    UniqueKeyRow,
    WaitingRow,
    WorkerRow,
)
from sim.database.table import Table

PATH_BYTES_MAX: Final = 1_000
TAG_BYTES_MAX: Final = 120
GROUP_BYTES_MAX: Final = 120
LABEL_BYTES_MAX: Final = 200
NOTE_BYTES_MAX: Final = 500
PRIORITY_MAX: Final = 1_000
LANGUAGE_BYTES_MAX: Final = 50
CONTENT_BYTES_MAX: Final = 4 * 1024 * 1024
RESULT_KEY_BYTES_MAX: Final = 200
SLOTS_MAX: Final = 2**31 - 1
WINDOW_S_MAX: Final = 1_000_000_000
KINDS: Final = ("function", "script", "noop", "identity", "flow", "approval", "dependencies")
SCHEDULE_NAME_BYTES_MAX: Final = 200
SORTS: Final = ("unique", "debounce")
KEY_BYTES_MAX: Final = 2_000
DECIDER_BYTES_MAX: Final = 200
TIMES: Final = ("queued", "unfinished", "period")
STEP_NAME_BYTES_MAX: Final = 200
STATUSES: Final = ("success", "failure", "canceled", "skipped")


class Tables:
    """One schema."""

    def __init__(self) -> None:
        self.job: Table[JobRow] = Table("job", lambda row: row.id, _check_job)
        self.ready: Table[ReadyRow] = Table("ready", lambda row: row.id, _check_ready)
        self.waiting: Table[WaitingRow] = Table("waiting", lambda row: row.id, _check_waiting)
        self.claim: Table[ClaimRow] = Table("claim", lambda row: row.id, _check_claim)
        self.job_completed: Table[CompletedRow] = Table(
            "job_completed", lambda row: row.id, _check_completed
        )
        self.job_log: Table[LogRow] = Table(
            "job_log", lambda row: (row.id, row.attempt, row.chunk), _anything
        )
        self.job_attempt: Table[AttemptRow] = Table(
            "job_attempt", lambda row: (row.id, row.attempt), _check_attempt
        )
        self.job_label: Table[LabelRow] = Table(
            "job_label", lambda row: (row.id, row.label), _check_label
        )
        self.job_progress: Table[ProgressRow] = Table(
            "job_progress", lambda row: row.id, _check_progress
        )
        self.expiry: Table[ExpiryRow] = Table("expiry", lambda row: row.id, _anything)
        self.concurrency: Table[ConcurrencyRow] = Table(
            "concurrency", lambda row: row.key, _check_concurrency
        )
        self.slot: Table[SlotRow] = Table("slot", lambda row: row.id, _anything)
        self.spent_slot: Table[SpentRow] = Table(
            "spent_slot", lambda row: (row.key, row.free_at), _check_spent
        )
        self.unique_key: Table[UniqueKeyRow] = Table(
            "unique_key", lambda row: (row.sort, row.key), _check_unique_key
        )
        self.result_cache: Table[ResultRow] = Table(
            "result_cache", lambda row: row.key, _check_result
        )
        self.worker: Table[WorkerRow] = Table("worker", lambda row: row.id, _check_worker)
        self.agent_token: Table[TokenRow] = Table("agent_token", lambda row: row.id, _check_token)
        self.schedule: Table[ScheduleRow] = Table("schedule", lambda row: row.name, _check_schedule)
        self.cancel_request: Table[CancelRow] = Table(
            "cancel_request", lambda row: row.id, _anything
        )
        self.migration: Table[MigrationRow] = Table("migration", lambda row: row.number, _anything)
        self.job_step: Table[StepRow] = Table(
            "job_step", lambda row: (row.job, row.name), _check_step
        )
        self.parent: Table[ParentRow] = Table("parent", lambda row: row.id, _check_parent)
        self._add_flows()
        self._add_scripts()

    def _add_scripts(self) -> None:
        self.script: Table[ScriptRow] = Table(
            "script", lambda row: (row.path, row.version), _check_script
        )
        self.job_preprocessed: Table[PreprocessedRow] = Table(
            "job_preprocessed", lambda row: row.id, _check_preprocessed
        )

    def _add_flows(self) -> None:
        self.flow: Table[FlowRow] = Table("flow", lambda row: (row.path, row.version), _check_flow)
        self.flow_state: Table[FlowStateRow] = Table(
            "flow_state", lambda row: row.id, _check_flow_state
        )
        self.decision: Table[DecisionRow] = Table(
            "decision", lambda row: (row.job, row.by), _check_decision
        )


def _anything(_row: Row) -> None:
    """Text without NUL is all that such a table asks for, and the arguments had none."""


def _check_job(row: JobRow) -> None:
    values.jsonb(row.args)
    values.smallint(row.priority)
    values.check(row.kind in KINDS, "job_kind_check")
    values.check(1 <= len(row.path.encode()) <= PATH_BYTES_MAX, "job_path_check")
    values.check(1 <= len(row.tag.encode()) <= TAG_BYTES_MAX, "job_tag_check")
    values.check(abs(row.priority) <= PRIORITY_MAX, "job_priority_check")
    if row.options is not None:
        values.check(values.jsonb(row.options).lstrip().startswith("{"), "job_options_check")
        values.check(_is_limit(json.loads(row.options).get("limit")), "job_limit_check")


def _is_limit(limit: Any) -> bool:  # noqa: ANN401 - JSON
    """Whether the options' limit is one, if it is there at all. Slots are written as integers."""
    if not isinstance(limit, dict):
        return True
    slots, window_s, key = limit.get("slots"), limit.get("window_s"), limit.get("key")
    return (
        1 <= int(slots or 0) <= SLOTS_MAX
        and (window_s is None or 0 < window_s <= WINDOW_S_MAX)
        and len(str(key or "").encode()) <= PATH_BYTES_MAX
    )


def _check_ready(row: ReadyRow) -> None:
    values.integer(row.attempt)
    values.smallint(row.reaped)
    values.check(row.attempt >= 1, "ready_attempt_check")
    values.check(row.reaped >= 0, "ready_reaped_check")


def _check_waiting(row: WaitingRow) -> None:
    values.integer(row.attempt)
    values.smallint(row.reaped)
    values.check(row.attempt >= 1, "waiting_attempt_check")
    values.check(row.reaped >= 0, "waiting_reaped_check")
    in_line = row.priority is not None and row.scheduled_for is not None
    values.check(row.key is None or in_line, "waiting_turn_check")


def _check_claim(row: ClaimRow) -> None:
    size = len(row.ids)
    values.check(size > 0, "claim_ids_check")
    values.check(size == len(row.attempts) == len(row.reaped), "claim_check")


def _check_completed(row: CompletedRow) -> None:
    values.check(row.status in STATUSES, "job_completed_status_check")
    if row.result is not None:
        values.jsonb(row.result)
    if row.error is not None:
        values.jsonb(row.error)
    values.integer(row.attempt)
    values.smallint(row.reaped)
    if row.duration_ms is not None:
        values.integer(row.duration_ms)


def _check_attempt(row: AttemptRow) -> None:
    values.jsonb(row.error)
    values.integer(row.attempt)
    if row.duration_ms is not None:
        values.integer(row.duration_ms)


def _check_label(row: LabelRow) -> None:
    values.check(1 <= len(row.label.encode()) <= LABEL_BYTES_MAX, "job_label_label_check")


def _check_progress(row: ProgressRow) -> None:
    values.integer(row.attempt)
    values.check(0 <= row.fraction <= 1, "job_progress_fraction_check")
    values.check(len(row.note.encode()) <= NOTE_BYTES_MAX, "job_progress_note_check")


def _check_concurrency(row: ConcurrencyRow) -> None:
    values.check(1 <= len(row.key.encode()) <= PATH_BYTES_MAX, "concurrency_key_check")
    values.check(row.slots >= 1, "concurrency_slots_check")
    values.check(row.window_s is None or row.window_s > 0, "concurrency_window_s_check")


def _check_spent(row: SpentRow) -> None:
    values.check(row.slots >= 1, "spent_slot_slots_check")


def _check_unique_key(row: UniqueKeyRow) -> None:
    values.check(row.sort in SORTS, "unique_key_sort_check")
    values.check(1 <= len(row.key.encode()) <= KEY_BYTES_MAX, "unique_key_key_check")
    values.check(row.during in (None, *TIMES), "unique_key_during_check")
    values.check((row.during == "period") == (row.until is not None), "unique_key_check")


def _check_result(row: ResultRow) -> None:
    values.jsonb(row.result)
    values.check(1 <= len(row.key.encode()) <= RESULT_KEY_BYTES_MAX, "result_cache_key_check")


def _check_script(row: ScriptRow) -> None:
    requirements = values.jsonb(row.requirements)
    lock = None if row.lock is None else values.jsonb(row.lock)
    values.integer(row.version)
    values.check(1 <= len(row.path.encode()) <= PATH_BYTES_MAX, "script_path_check")
    values.check(row.version >= 1, "script_version_check")
    values.check(1 <= len(row.language.encode()) <= LANGUAGE_BYTES_MAX, "script_language_check")
    values.check(len(row.content.encode()) <= CONTENT_BYTES_MAX, "script_content_check")
    values.check(requirements.lstrip().startswith("["), "script_requirements_check")
    values.check(lock is None or lock.lstrip().startswith("["), "script_lock_check")


def _check_preprocessed(row: PreprocessedRow) -> None:
    values.jsonb(row.args)


def _check_worker(row: WorkerRow) -> None:
    values.integer(row.pid)
    values.check(row.lease_s > 0, "worker_lease_s_check")
    values.check(len(row.ranks) == len(row.tags), "worker_check")


def _check_token(row: TokenRow) -> None:
    group_bytes = len(row.worker_group.encode())
    values.check(1 <= group_bytes <= GROUP_BYTES_MAX, "agent_token_worker_group_check")
    values.check(bool(row.tags), "agent_token_tags_check")
    values.check(len(row.ranks) == len(row.tags), "agent_token_check")


def _check_flow(row: FlowRow) -> None:
    values.jsonb(row.definition)
    values.integer(row.version)
    values.check(1 <= len(row.path.encode()) <= PATH_BYTES_MAX, "flow_path_check")
    values.check(row.version >= 1, "flow_version_check")


def _check_flow_state(row: FlowStateRow) -> None:
    values.jsonb(row.state)
    values.integer(row.version)
    values.integer(row.attempt)
    values.smallint(row.reaped)
    values.check(row.attempt >= 1, "flow_state_attempt_check")
    values.check(row.reaped >= 0, "flow_state_reaped_check")


def _check_decision(row: DecisionRow) -> None:
    values.jsonb(row.form)
    values.check(1 <= len(row.by.encode()) <= DECIDER_BYTES_MAX, "decision_by_check")


def _check_step(row: StepRow) -> None:
    values.jsonb(row.result)
    values.check(1 <= len(row.name.encode()) <= STEP_NAME_BYTES_MAX, "job_step_name_check")


def _check_parent(row: ParentRow) -> None:
    values.integer(row.tries)
    values.check(row.tries >= 1, "parent_tries_check")


def _check_schedule(row: ScheduleRow) -> None:
    definition = values.jsonb(row.definition)
    values.integer(row.failures)
    values.check(1 <= len(row.name.encode()) <= SCHEDULE_NAME_BYTES_MAX, "schedule_name_check")
    values.check(definition.lstrip().startswith("{"), "schedule_definition_check")
    values.check(row.failures >= 0, "schedule_failures_check")
