"""`SimDatabase` is what `PostgresDatabase` is: the same cases on both, the same account of them."""

from typing import Final

import pytest
import trio

from sim.determinism import simulate
from sim.differential.cases import CASES, Case
from sim.differential.lines import Line, modelled_line, real_line
from trioworker.events import StatementRun

PATIENT_S: Final = 30.0
IMPATIENT_S: Final = 2.0
TOO_LONG: Final = "takes_too_long"


def statements(line: Line) -> object:
    """What the statement log says."""
    return [event for event in line.events if isinstance(event, StatementRun)]


def timeout_s(run: Case) -> float:
    """Only those that wait for the timeout have a short one: the machine may be busy."""
    return IMPATIENT_S if TOO_LONG in run.__name__ else PATIENT_S


async def on_real(run: Case, url: str) -> object:
    """The case on PostgreSQL."""
    async with real_line(url, timeout_s(run)) as line:
        return await run(line), statements(line)


async def on_model(run: Case) -> object:
    """The case on the model."""
    async with modelled_line(timeout_s(run)) as line:
        return await run(line), statements(line)


@pytest.mark.parametrize("name", CASES)
def test_both_do_the_same(name: str, database_url: str) -> None:
    """A failure has the same class, is ambiguous or not, and costs the connection or not."""
    run = CASES[name]
    real = trio.run(on_real, run, database_url)
    modelled = simulate(lambda: on_model(run), seed=1, horizon_s=1_000, wall_limit_s=60)
    assert real == modelled
