"""Histories, drawn by Hypothesis: snippets in which something happens, one after the other.

Steps drawn one by one hardly ever conflict, so a snippet is a short plot: somebody holds what
another wants, two want the same things in opposite order, a transaction does what the worker's do.
The plots interleave because a snippet may leave its transactions open.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from hypothesis import strategies as st

from sim.differential.arguments import Drawn, lockers, queries
from sim.differential.history import (
    BEGIN,
    COMMIT,
    KILL,
    ROLLBACK,
    SESSIONS_MAX,
    History,
    Scene,
    Step,
    ending,
)
from sim.differential.scenes import scenes
from trioworker.store.postgres.statements import load_statements

STEPS_MAX: Final = 25
QUERIES: Final = tuple(load_statements())
SNIPPETS_MIN: Final = 4
SNIPPETS_MAX: Final = 12

WEIGHTS: Final[Mapping[str, int]] = {
    "pull": 12,
    "commit": 16,
    "enqueue": 7,
    "cancel_unstarted": 6,
    "reap": 6,
    "mark_lost": 5,
    "heartbeat": 4,
    "list_jobs": 4,
    "request_cancel": 3,
    "forget_workers": 3,
    "job_states": 3,
    "store_logs": 2,
    "store_running": 4,
    "store_progress": 2,
    "store_results": 3,
    "deploy_script": 3,
    "newest_scripts": 2,
    "store_locks": 3,
    "store_preprocessed": 2,
    "cached_results": 3,
    "forget_results": 3,
    "revoke_tokens": 2,
    "store_attempts": 2,
    "hold_parents": 4,
    "store_steps": 4,
    "ended_parents": 4,
    "known_children": 3,
    "child_ends": 2,
    "own_children": 2,
    "register_worker": 2,
    "retire_worker": 2,
    "sweep_cancels": 2,
    "family": 2,
    "find_stored": 2,
    "lock_limits": 4,
    "promote": 4,
    "release_slots": 3,
    "plan_looks": 2,
    "due_limits": 2,
    "mend_looks": 2,
    "lock_keys": 4,
    "replace_jobs": 4,
    "take_keys": 3,
    "due_keys": 2,
    "forget_keys": 2,
    "requeue_jobs": 4,
    "delete_jobs": 3,
    "expired_jobs": 3,
    "old_jobs": 2,
    "adopt": 2,
    "lock_schedules": 2,
    "due_schedules": 3,
    "store_schedules": 2,
    "take_back_jobs": 3,
    "lock_flows": 2,
    "lock_flows_of": 3,
    "store_flows": 4,
    "end_flows": 4,
    "read_approval": 2,
    "push_flow": 2,
    "store_decision": 2,
    "end_approvals": 3,
    "end_stranded": 3,
    "hand_over": 3,
    "restart_flows": 3,
    "lost_flows": 2,
    "read_lost_flows": 2,
}
"""How often a query is drawn, 1 for all others."""

_ENDS: Final = (COMMIT, COMMIT, COMMIT, ROLLBACK, KILL)
_RIVALS: Final[Mapping[str, Sequence[str]]] = {
    "pull": ("pull", "cancel_unstarted", "cancel_unstarted", "enqueue", "reap"),
    "commit": ("commit", "reap", "reap", "pull", "request_cancel", "adopt"),
    "heartbeat": ("mark_lost", "retire_worker", "heartbeat", "forget_workers", "reap", "pull"),
    "mark_lost": ("heartbeat", "mark_lost", "pull", "commit"),
    "reap": ("commit", "reap", "adopt", "mark_lost"),
    "enqueue": ("enqueue", "enqueue", "cancel_unstarted", "pull"),
    "cancel_unstarted": ("pull", "pull", "cancel_unstarted", "enqueue", "commit"),
    "store_logs": ("store_logs", "store_running"),
    "store_results": ("store_results", "forget_results"),
    "forget_results": ("store_results", "forget_results"),
    "deploy_script": ("deploy_script", "deploy_script", "store_locks", "newest_scripts"),
    "store_locks": ("store_locks", "store_locks", "deploy_script"),
    "store_preprocessed": ("store_preprocessed", "delete_jobs"),
    "store_running": ("commit", "store_logs", "reap", "store_running", "store_progress"),
    "store_progress": ("store_progress", "store_running", "delete_jobs", "job_states"),
    "store_attempts": ("store_attempts", "reap"),
    "hold_parents": ("hold_parents", "hold_parents", "commit", "reap", "ended_parents"),
    "store_steps": ("store_steps", "store_steps", "commit", "reap", "delete_jobs"),
    "ended_parents": ("ended_parents", "hold_parents", "requeue_jobs", "forget_parents"),
    "lock_limits": ("lock_limits", "lock_limits", "plan_looks"),
    "promote": ("promote", "cancel_unstarted", "due_limits"),
    "release_slots": ("release_slots", "take_slots", "lock_limits"),
    "plan_looks": ("lock_limits", "plan_looks"),
    "mend_looks": ("lock_limits", "mend_looks"),
    "due_limits": ("due_limits", "promote", "cancel_unstarted"),
    "lock_keys": ("lock_keys", "lock_keys", "due_keys", "forget_keys", "take_keys"),
    "replace_jobs": ("replace_jobs", "pull", "cancel_unstarted", "promote", "due_limits"),
    "take_keys": ("lock_keys", "take_keys", "forget_keys"),
    "due_keys": ("lock_keys", "due_keys", "take_keys"),
    "forget_keys": ("lock_keys", "forget_keys", "due_keys"),
    "request_cancel": ("request_cancel", "sweep_cancels", "commit"),
    "lock_migrations": ("lock_migrations",),
    "record_migration": ("record_migration",),
    "register_worker": ("register_worker", "heartbeat"),
    "add_token": ("add_token", "revoke_tokens"),
    "revoke_tokens": ("revoke_tokens", "revoke_tokens", "add_token", "token_standing"),
    "forget_workers": ("heartbeat", "forget_workers", "retire_worker", "register_worker"),
    "sweep_cancels": ("request_cancel", "sweep_cancels", "late_cancels"),
    "requeue_jobs": ("requeue_jobs", "expired_jobs", "delete_jobs", "sweep_cancels", "promote"),
    "expired_jobs": ("expired_jobs", "old_jobs", "requeue_jobs", "store_expiries"),
    "old_jobs": ("old_jobs", "requeue_jobs", "expired_jobs"),
    "delete_jobs": ("delete_jobs", "requeue_jobs", "store_labels", "store_progress"),
    "store_expiries": ("store_expiries", "expired_jobs", "delete_jobs"),
    "store_labels": ("store_labels", "requeue_jobs"),
    "push_flow": ("push_flow", "push_flow", "newest_flows", "read_flow", "list_flows"),
    "add_schedules": ("add_schedules", "lock_schedules"),
    "lock_schedules": ("lock_schedules", "due_schedules", "delete_schedules"),
    "due_schedules": ("due_schedules", "store_schedules", "commit", "enqueue"),
    "take_back_jobs": ("pull", "cancel_unstarted", "take_back_jobs"),
    "lock_flows": ("lock_flows", "lock_flows_of", "store_flows", "end_flows"),
    "lock_flows_of": ("lock_flows", "lock_flows_of", "cancel_unstarted"),
    "store_flows": ("store_flows", "lock_flows", "end_flows", "cancel_unstarted"),
    "end_flows": ("end_flows", "cancel_unstarted", "store_flows", "commit"),
    "read_approval": ("read_approval", "end_approvals", "cancel_unstarted"),
    "store_decision": ("store_decision", "read_approval", "delete_jobs"),
    "end_approvals": ("end_approvals", "cancel_unstarted", "read_approval"),
    "end_stranded": ("end_stranded", "pull", "cancel_unstarted", "hand_over"),
    "hand_over": ("hand_over", "pull", "cancel_unstarted"),
    "restart_flows": ("restart_flows", "end_flows", "lock_flows", "store_flows"),
}


class _Cast:
    """Who and what may occur in a history on one scene."""

    def __init__(self, scene: Scene, sessions: int, about: str | None) -> None:
        self.sessions = sessions
        self.lockers = lockers(scene)
        # Hypothesis is fond of what comes first.
        self.names = [name for name in WEIGHTS for _ in range(WEIGHTS[name])]
        self.names += [name for name in QUERIES if name not in WEIGHTS]
        self.pairs = [(name, rival) for name, rivals in _RIVALS.items() for rival in rivals]
        if about is not None:
            self.names += [about] * len(self.names)
            self.pairs = [pair for pair in self.pairs if about in pair] or self.pairs
        self._arguments: Mapping[str, Drawn] = queries(scene)

    def session(self, draw: st.DrawFn) -> int:
        """Any session."""
        return draw(st.integers(0, self.sessions - 1))

    def query(self, draw: st.DrawFn, session: int, names: Sequence[str]) -> Step:
        """One of the queries of `names`."""
        name = draw(st.sampled_from(names))
        return Step(session, name, draw(self._arguments[name]))


LOOKS: Final = (
    "approval_states", "flow_drift", "flow_steps", "flow_version", "list_approvals", "list_flows",
    "read_flow",
    "cached_results", "cancels_for_worker", "clock", "count_jobs",
    "dead_letters", "due_approvals", "ended_jobs", "ended_steps", "hooked_jobs", "job_logs",
    "job_origins", "job_states", "key_holders", "late_cancels", "limit_drift", "list_jobs",
    "list_schedules", "list_tokens", "list_workers", "newest_flows", "newest_scripts", "next_due",
    "next_look", "notify_done", "notify_ready", "ping", "place_in_line", "preprocessed_args",
    "read_flows", "read_script", "list_scripts", "schema_version", "server_version",
    "token_of_worker", "token_standing", "unfinished_jobs",
    "kept_flows", "lost_flows", "read_lost_flows",
    "child_ends", "children", "job_steps", "known_children", "own_children",
)  # fmt: skip
"""Statements that nobody waits for."""

Plot: TypeAlias = Callable[[st.DrawFn, _Cast], Sequence[Step]]


def _one(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """Any statement, in whatever transaction there is."""
    return [cast.query(draw, cast.session(draw), cast.names)]


def _work(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """A transaction of one or two statements, perhaps left open."""
    session = cast.session(draw)
    statements = [cast.query(draw, session, cast.names) for _ in range(draw(st.integers(1, 2)))]
    end = draw(st.sampled_from((None, None, *_ENDS)))
    return [Step(session, BEGIN), *statements, *([Step(session, end)] if end else ())]


def _conflict(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """Somebody has done something, and another wants the same before he ends."""
    first, second = draw(st.permutations(range(cast.sessions)))[:2]
    done, rival = (
        cast.query(draw, session, [name])
        for session, name in zip((first, second), draw(st.sampled_from(cast.pairs)), strict=True)
    )
    begin = [Step(second, BEGIN)] if draw(st.booleans()) else []
    end = draw(st.sampled_from((Step(second, KILL), *(Step(first, what) for what in _ENDS))))
    return [Step(first, BEGIN), done, *begin, rival, end]


def _crowd(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """All want the very same thing, one after the other."""
    statement = draw(st.sampled_from(cast.lockers))(draw(st.integers(0, 2)))
    steps = [Step(session, *statement) for session in range(cast.sessions)]
    end = Step(0, draw(st.sampled_from(_ENDS)))
    return [Step(0, BEGIN), steps[0], Step(1, BEGIN), *steps[1:], end]


def _crosswise(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """Two take two things in opposite order."""
    locker, other = (draw(st.sampled_from(cast.lockers)) for _ in range(2))
    steps = [(0, locker(0)), (1, other(1)), (0, other(1)), (1, locker(0))]
    begun = [Step(session, BEGIN) for session in (0, 1)]
    return begun + [Step(session, *statement) for session, statement in steps]


def _looks(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """Somebody looks at this and that."""
    session = cast.session(draw)
    names = draw(st.lists(st.sampled_from(LOOKS), min_size=3, max_size=6, unique=True))
    return [cast.query(draw, session, [name]) for name in names]


def _end(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    """Somebody ends, if there is anything to end."""
    return [Step(cast.session(draw), draw(st.sampled_from(_ENDS)))]


PLOTS: Final[Sequence[Plot]] = (
    _conflict, _crosswise, _looks, _conflict, _work, _one, _crowd, _conflict, _work, _one, _one,
    _end,
)  # fmt: skip


@st.composite
def _snippets(draw: st.DrawFn, cast: _Cast) -> Sequence[Step]:
    return draw(st.sampled_from(PLOTS))(draw, cast)


@st.composite
def histories(draw: st.DrawFn, about: str | None = None) -> History:
    """A scene and at most `STEPS_MAX` steps, then all transactions end.

    `about` is a query that is to come more often than others.
    """
    scene = draw(scenes())
    cast = _Cast(scene, draw(st.integers(2, SESSIONS_MAX)), about)
    snippets = draw(st.lists(_snippets(cast), min_size=SNIPPETS_MIN, max_size=SNIPPETS_MAX))
    steps = [step for snippet in snippets for step in snippet]
    return History(scene=scene, steps=[*steps[:STEPS_MAX], *ending()])
