"""One run for somebody to look at: what came of it, and how long it took.

Rule of this file: a run that breaks down is a run, too. Its trace is kept as far as it came, and
what it raised is a finding.
"""

import time
import traceback
from typing import Final, NamedTuple

from sim.counters import count
from sim.lab.given import Target
from sim.lab.zoo import planted
from sim.oracles import Finding
from sim.plan import Plan
from sim.run import Result, run
from sim.trace import Trace
from trioworker.errors import UsageError

CRASHED: Final = "a run that ends"
PASSED_BY: Final = "a scenario's states"


class Trial(NamedTuple):
    """A result, and how many seconds of wall time it took."""

    result: Result
    wall_s: float


def attempt(plan: Plan) -> Result:
    """The result of a run, whatever it raises; but `UsageError`, which no run is to blame for."""
    trace = Trace()
    try:
        return run(plan, trace=trace)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - a run that breaks down is what we look for
        at_s = trace.happenings[-1].at_s if len(trace) else 0.0
        return Result(plan, trace, [Finding(CRASHED, _described(error), at_s)], at_s)


def trial(target: Target) -> Trial:
    """Run what was asked for; a scenario that misses its states has failed as well."""
    started_s = time.perf_counter()
    with planted(target.mutant):
        result = attempt(target.plan)
    wall_s = time.perf_counter() - started_s
    if target.scenario is not None and target.scenario.must_see:
        seen = count(result.trace)
        missed = [state for state in target.scenario.must_see if not seen.get(state)]
        if missed:
            finding = Finding(PASSED_BY, f"not seen: {', '.join(missed)}", result.virtual_s)
            result = result._replace(findings=[*result.findings, finding])
    return Trial(result, wall_s)


def _described(error: BaseException) -> str:
    """The error and where it was raised, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f", raised in {frames[-1].name} at line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
