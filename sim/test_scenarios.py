"""The scenarios that are kept: each tells its story to the end, and breaks no invariant."""

from pathlib import Path
from typing import Final

import msgspec
import pytest

from sim.counters import STATES
from sim.plan import Scripted
from sim.real.limits import LEFT_OUT, NOT_FOR_REAL, why_not
from sim.run import run
from sim.scenario import FOLDER, Scenario, all_scenarios, load, save, shortcomings
from sim.ticking import Ticking
from tests.docs.pages import ROOT, page
from trioworker.errors import UsageError

SCENARIOS: Final = {path.stem: load(path) for path in all_scenarios()}
PAGE: Final = page("docs/simulator/scenarios.md")
COLUMNS: Final = ["scenario", "story", "for real"]
REPLAY: Final = f"python -m sim replay {FOLDER.relative_to(ROOT)}/{{name}}.toml"


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_tells_its_story_and_breaks_nothing(name: str) -> None:
    """No oracle finds anything, every fault that is named strikes, every state comes to pass."""
    scenario = SCENARIOS[name]
    assert shortcomings(scenario, run(scenario.plan)) == [], REPLAY.format(name=name)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_about_states_that_are_counted(name: str) -> None:
    """Each has one at least, and a state that nobody counts would never be missed."""
    assert SCENARIOS[name].must_see
    assert set(SCENARIOS[name].must_see) <= set(STATES)


def test_a_fault_that_does_not_strike_and_a_state_that_is_passed_by_are_told() -> None:
    """A scenario that no longer tests what it says fails, and says what it missed."""
    late = Scripted(fault="worker killed@worker-0#0", at_s=99.0)
    plan = msgspec.structs.replace(
        SCENARIOS["poison"].plan, exactly=["deadlock@worker-7/commit#0"], script=[late]
    )
    scenario = Scenario(version=1, story="", plan=plan, must_see=["two workers adopting"])

    assert shortcomings(scenario, run(plan)) == [
        "deadlock@worker-7/commit#0 does not strike",
        "worker killed@worker-0#0 does not strike",
        "not seen: two workers adopting",
    ]


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_comes_back_as_it_was_saved(name: str, tmp_path: Path) -> None:
    """What is written and read again is the same, whatever its plan says."""
    file = tmp_path / "again.toml"
    save(SCENARIOS[name], file)

    assert load(file) == SCENARIOS[name]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("version = ", "is no scenario"),
        ("version = 9", "is of version 9, and this simulator reads 1"),
        ("story = 'of no version'", "is of version None"),
        ("version = 1\nstory = ''\n[plan]", "missing required field 'seed'"),
        ("version = 1\nstory = ''\n[plan]\nseed = 1\nsizes = 3", "$.plan.sizes"),
        ("version = 1\nstory = ''\nend = 1\n[plan]\nseed = 1", "unknown field 'end'"),
    ],
)
def test_what_is_no_scenario_is_refused_in_one_line(
    text: str, complaint: str, tmp_path: Path
) -> None:
    """The file is named, and what is wrong with it."""
    file = tmp_path / "odd.toml"
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        load(file)

    assert str(refused.value).startswith(f"{file} is ")
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("job", ["sleep", "ok@", "ok@soon", "ok@-1", "@1", "ok@nan"])
def test_a_job_that_is_none_is_refused_in_one_line(job: str) -> None:
    """A plan names its jobs by their bodies and by when they come."""
    plan = msgspec.structs.replace(SCENARIOS["poison"].plan, jobs=[job])
    with pytest.raises(UsageError, match="is no job; write it as"):
        run(plan)


@pytest.mark.parametrize("deed", ["mend 0@1", "pause", "pause 0", "pause 0@-1", "pause -1@1"])
def test_a_deed_that_is_none_is_refused_in_one_line(deed: str) -> None:
    """A plan says what is done to which of its schedules, and when."""
    plan = msgspec.structs.replace(
        SCENARIOS["poison"].plan, schedules=[Ticking()], meddling=[deed], chaos_s=1.0
    )
    with pytest.raises(UsageError, match="is done to no schedule; write it as"):
        run(plan)


# ---- the page -----------------------------------------------------------------------------------


def test_the_page_tells_of_every_scenario() -> None:
    """Its tables have the name, the story and whether it runs for real, as the files say."""
    rows = [tuple(row) for table in PAGE.tables if table.head == COLUMNS for row in table.rows]
    expected = [
        (
            f"[{name}](../../sim/scenarios/{name}.toml)",
            scenario.story,
            "no" if why_not(scenario.plan) else "yes",
        )
        for name, scenario in SCENARIOS.items()
    ]

    assert sorted(rows) == sorted(expected)


def test_the_page_gives_the_reasons_for_what_is_not_done_for_real() -> None:
    """Faults that stay simulated, and oracles that do not judge by real time."""
    rows = {
        row[0]: row[1] for table in PAGE.tables if table.head[1] == "why not" for row in table.rows
    }
    oracles = {oracle.name: reason for oracle, reason in LEFT_OUT.items()}

    assert rows == {**NOT_FOR_REAL, **oracles}
