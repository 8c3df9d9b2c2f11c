"""What a run asks of Trio's inside, which has no public name for it.

Rule of this file: together with `sim/trio_patch.py` it is all that knows the inside of Trio; it
reads, and it changes nothing that the end of a run would not change anyhow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import trio
from trio._core import _run
from trio._core._run import CancelStatus, Deadlines, Runner, Task

from sim.replace import replaced
from trioworker.errors import UsageError

KNOWN_TRIO: Final = "0.35.0"

# What this file and the patches read and write, as far as Trio's classes declare it.
USED: Final = (
    (CancelStatus, ("_scope", "_parent", "_children", "_tasks")),
    (Deadlines, ("_heap", "_active")),
    (Runner, ("runq", "tasks", "asyncgens", "waiting_for_idle")),
    (Task, ("context", "_counter", "_cancel_status", "_child_nurseries")),
)


def check_trio(patched: Sequence[tuple[type, str]]) -> None:
    """Raise `UsageError` unless this is the Trio we know, with all that is used and `patched`."""
    if trio.__version__ != KNOWN_TRIO:
        raise UsageError(
            f"the simulator knows the inside of trio {KNOWN_TRIO} and trio {trio.__version__} is "
            f"installed; pip install trio=={KNOWN_TRIO}"
        )
    used = [(owner, name) for owner, names in USED for name in names]
    for owner, name in [*used, *patched]:
        if name not in vars(owner):
            raise UsageError(
                f"this trio {KNOWN_TRIO} is not the released one, it has no {owner.__name__}.{name}"
                f"; pip install --force-reinstall trio=={KNOWN_TRIO}"
            )


@contextmanager
def scheduling_from(seed: int) -> Iterator[None]:
    """Let the order in which Trio runs tasks follow from `seed`."""
    before = _run._r.getstate()
    _run._r.seed(f"{seed}/schedule")
    try:
        with replaced(_run, "_ALLOW_DETERMINISTIC_SCHEDULING", value=True):
            yield
    finally:
        _run._r.setstate(before)


def somebody_waits_for_idleness() -> bool:
    """Whether a `wait_all_tasks_blocked` comes before any deadline."""
    return bool(_run.GLOBAL_RUN_CONTEXT.runner.waiting_for_idle)


def nobody_can_run() -> bool:
    """Whether every task waits for something."""
    return not _run.GLOBAL_RUN_CONTEXT.runner.runq


def living_tasks() -> list[Task]:
    """Every task that lives, the oldest first."""
    return sorted(_run.GLOBAL_RUN_CONTEXT.runner.tasks, key=lambda task: task._counter)


def described(task: Task) -> str:
    """The task's name and the line where it waits, of the last frame that is not Trio's."""
    places = [
        f"{frame.f_globals.get('__name__')}:{line}" for frame, line in task.iter_await_frames()
    ]
    places = [place for place in places if not place.startswith("trio.")]
    return f"{task.name} ({places[-1]})" if places else task.name


def open_generators() -> list[str]:
    """The names of async generators that were begun and neither exhausted nor closed."""
    alive = _run.GLOBAL_RUN_CONTEXT.runner.asyncgens.alive
    return sorted(each.__qualname__ for each in alive if each.ag_frame is not None)


def is_failing(task: Task) -> bool:
    """Whether a nursery of this task holds an exception while it waits for its other children."""
    held = [
        error
        for nursery in task._child_nurseries
        for error in getattr(nursery, "_pending_excs", ())
    ]
    return bool(held) and BaseExceptionGroup("held", held).split(trio.Cancelled)[1] is not None


def lower_shields(outermost: trio.CancelScope) -> None:
    """Let the cancellation of `outermost` reach every task under it."""
    for task in living_tasks():
        scopes = []
        status: CancelStatus | None = task._cancel_status
        while status is not None and status._scope is not outermost:
            scopes.append(status._scope)
            status = status._parent
        if status is not None:
            for scope in scopes:
                scope.shield = False
