"""The flows of the corpus come to what is expected of them, in whatever order their steps end."""

from collections.abc import Mapping
from random import Random
from typing import Any, Final, get_args

import msgspec
import pytest

from tests.flows.corpus_cases import Case, cases, result_under
from tests.flows.functions import app
from tests.model.flow_driver import ROOT, Asked, Driver
from tests.model.flow_work import worked
from trioworker.model.completion import STATUS_OF
from trioworker.model.flow import Flow, flow_of
from trioworker.model.flow_advance import End
from trioworker.model.flow_steps import SORTS
from trioworker.model.outcome import Cancelled, Failed, Skipped, Succeeded

CASES: Final = cases()
PATH: Final = "corpus/flow"


def read(flow: Mapping[str, Any]) -> Flow:
    """A flow as it is pushed."""
    return flow_of(msgspec.json.encode(flow))


def told(end: End) -> tuple[str, Any]:
    """The state that a flow ended in, and what else is expected of it."""
    state = STATUS_OF[type(end)]
    match end:
        case Succeeded(result):
            return state, msgspec.json.decode(result)
        case Failed(error):
            return state, (error.name, error.message)
        case Cancelled(reason):
            return state, ("Cancelled", reason)
        case Skipped(reason):
            return state, ("Skipped", reason)


def expected(case: Case) -> tuple[str, Any]:
    """The same, as the corpus says."""
    expect = case.expect
    if expect.error is None:
        return expect.state, result_under(PATH, expect.result)
    return expect.state, (expect.error.name, expect.error.message)


@pytest.mark.parametrize("most", [1, 4, 1_000])
@pytest.mark.parametrize("name", CASES)
def test_a_flow_of_the_corpus(name: str, most: int) -> None:
    """It ends as expected, and makes just the steps that are expected."""
    case = CASES[name]
    flows = {PATH: read(case.flow)} | {path: read(flow) for path, flow in case.flows.items()}
    driver = Driver(
        Asked(flows, PATH, case.args), lambda job: worked(job, case.decisions), Random(most)
    )
    driver.run(most)
    assert told(driver.outcomes[ROOT]) == expected(case), case.what
    steps = [job.options.step for job in driver.made]
    made = [step.at for step in steps if step and step.flow == ROOT]
    assert sorted(made) == sorted(case.expect.made)


def test_the_corpus_has_every_sort_of_step_and_of_end() -> None:
    """And no function that the app has not."""
    text = msgspec.json.encode(CASES)
    sorts = {found.decode() for found in SORTS_SAID if b'"type":"' + found + b'"' in text}
    assert sorts == {*SORTS} - {"script"}
    assert {case.expect.state for case in CASES.values()} == {
        STATUS_OF[end] for end in get_args(End)
    }
    assert len(CASES) >= 40
    assert {*app.jobs} >= {"echo", "add", "fail", "fail_times", "items"}


SORTS_SAID: Final = [sort.encode() for sort in SORTS]
