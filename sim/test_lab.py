"""The laboratory's commands: what they print and how they end.

Most runs here are of scenarios that are written for it, because what a seed means changes whenever
the code that draws from it does.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
import typer

from sim.batch import CRASHED, Summary, Totals
from sim.crafted import ID, POISON, drop_what_is_divided, lab, written
from sim.lab import exploring
from sim.lab.commands import app
from sim.oracles.liveness import Live
from sim.plan import Sizes
from sim.scenario import load
from sim.world import World
from sim.zoo import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "simulator" / "lab.md"
INTERRUPTIBLE = """
import concurrent.futures as futures, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
submit = futures.ProcessPoolExecutor.submit
futures.ProcessPoolExecutor.submit = lambda *given: print("ready", flush=True) or submit(*given)
from sim.__main__ import main
main(sys.argv[1:])
"""
"""Says when processes are about to be started, which is when Ctrl-C is heard by the most."""


@pytest.fixture
def mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with a bug that every run of POISON shows."""
    drop_what_is_divided(monkeypatch)


# ---- run ------------------------------------------------------------------------------------


def test_run_says_what_was_planned_and_that_nothing_was_found(tmp_path: Path) -> None:
    """A good run ends with status 0, its plan and its figures."""
    ended = lab("run", "--seed", written(tmp_path))

    assert ended.status == 0
    assert "crafted\n  A story.\n  1 worker in agent-batch: pull 20, " in ended.output
    assert "4 jobs on 1 tag at once: identity x2, poison, slow" in ended.output
    assert "nothing found" in ended.output
    assert re.search(r"virtual s in .+ s, 4 jobs, \d+ happenings, trace \w{32}\n", ended.output)


@pytest.mark.usefixtures("mutant")
def test_run_ends_with_1_when_something_was_found(tmp_path: Path) -> None:
    """Each finding is a line with the oracle that found it."""
    ended = lab("run", "--seed", written(tmp_path))

    assert ended.status == 1
    assert "✗ live at " in ended.output


def test_run_gives_programs_one_document(tmp_path: Path) -> None:
    """With --json nothing else is printed, and the same run has the same hash."""
    one = json.loads(lab("run", "--seed", written(tmp_path), "--json").output)
    other = json.loads(lab("run", "--seed", written(tmp_path), "--json").output)

    assert one["trace"] == other["trace"]
    assert (one["run"], one["jobs"], one["findings"]) == ("crafted", 4, [])


def test_a_run_that_breaks_down_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it raised is said in one line, and its story is told as far as it came."""

    def fall(_world: World) -> NoReturn:
        raise ValueError("fell\nover")

    monkeypatch.setattr(World, "_heal", fall)
    ended = lab("replay", written(tmp_path))

    assert ended.status == 1
    assert "pulled jobs" in ended.output
    assert f"✗ {CRASHED} at 1.0000 s: ValueError: fell over, raised in fall at" in ended.output


def test_a_scenario_that_misses_its_states_has_failed(tmp_path: Path) -> None:
    """A scenario is there for what it passes through."""
    ended = lab("run", "--seed", written(tmp_path, see="no such state"))

    assert ended.status == 1
    assert "not seen: no such state" in ended.output


def test_traces_of_two_machines_can_be_compared(tmp_path: Path) -> None:
    """The same run compares as the same; another parts at a happening that is shown."""
    trace = str(tmp_path / "trace")
    assert lab("run", "--seed", written(tmp_path), "--save-trace", trace).status == 0
    same = lab("run", "--seed", written(tmp_path), "--compare", trace)
    shorter = msgspec.structs.replace(POISON, chaos_s=0.5)
    other = lab("run", "--seed", written(tmp_path, shorter), "--compare", trace)

    assert (same.status, other.status) == (0, 1)
    assert "the traces are the same" in same.output
    assert re.search(r"the traces part at happening \d+:\n  here .+\n  there .+", other.output)


# ---- replay and shrink ----------------------------------------------------------------------


def test_replay_of_one_job_leaves_the_others_out(tmp_path: Path) -> None:
    """Its whole life, and nothing of it folded."""
    output = lab("replay", written(tmp_path), "--job", "02").output

    assert "ran job 02 (poison): succeeded" in output
    assert "stored job 02 as failure" in output
    assert "stored job 03" not in output


def test_replay_of_one_worker_leaves_the_others_out(tmp_path: Path) -> None:
    """What befalls everybody is told all the same."""
    sizes = Sizes(workers=2, pull=1, commit=1)
    plan = msgspec.structs.replace(POISON, sizes=sizes, jobs=("identity",) * 6)
    output = lab("replay", written(tmp_path, plan), "--worker", "1").output

    assert " worker-1 " in output
    assert " worker-0 " not in output
    assert "healed" in output


def test_replay_leaves_routine_out_unless_asked(tmp_path: Path) -> None:
    """Statements and heartbeats are told with --all."""
    path = written(tmp_path)

    assert "statement heartbeat" not in lab("replay", path).output
    assert "statement heartbeat on control: 1 rows" in lab("replay", path, "--all").output


@pytest.mark.usefixtures("mutant")
def test_replay_ends_with_the_findings_in_short_names(tmp_path: Path) -> None:
    """Where a story uses short names, no finding names an id."""
    ended = lab("replay", written(tmp_path))

    assert ended.status == 1
    assert ended.output.index("commit of 3") < ended.output.index("\n✗ live at ")
    assert not ID.search(ended.output)


@pytest.mark.usefixtures("mutant")
def test_shrink_writes_a_scenario_that_still_fails(tmp_path: Path) -> None:
    """It says what it leaves out, and ends with the line that replays what is left."""
    plan = msgspec.structs.replace(
        POISON,
        jobs=(),
        sizes=Sizes(workers=1, jobs=4),
        bodies={"poison": 1.0},
        faults={"slow": 0.02},
        drain_s=1.0,
        enqueue_s=0.0,
    )
    out = tmp_path / "small.toml"
    ended = lab("shrink", written(tmp_path, plan), "--out", str(out), "--runs", "20")

    assert ended.status == 0
    assert ended.output.startswith("✗ ")
    assert "still fails with less: no 'slow'" in ended.output
    assert ended.output.endswith(f"python -m sim replay {out}\n")
    assert load(out).story.startswith("Shrunk from crafted. The oracle ")
    assert lab("run", "--seed", str(out)).status == 1


# ---- the zoo --------------------------------------------------------------------------------


@contextmanager
def dropper() -> Iterator[None]:
    """The bug of this file, as one of the zoo."""
    with pytest.MonkeyPatch.context() as patch:
        drop_what_is_divided(patch)
        yield


def test_a_run_can_have_a_mutant_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the time of that run alone, and the line that replays it says so."""
    bug = Mutant(name="drop it", does="Drops.", caught_by=Live, planted=dropper)
    monkeypatch.setitem(MUTANTS, bug.name, bug)
    path = written(tmp_path)
    planted = lab("run", "--seed", path, "--mutant", "drop it")
    shrunk = lab("shrink", path, "--mutant", "drop it", "--runs", "2", "--out", path)

    assert planted.status == 1
    assert planted.output.startswith("crafted with the mutant 'drop it'\n")
    assert "✗ live at " in planted.output
    assert shrunk.output.endswith(f"python -m sim replay {path} --mutant 'drop it'\n")
    assert lab("run", "--seed", path).status == 0


def test_the_zoo_has_a_row_for_each_mutant() -> None:
    """With the oracle that finds it, the seeds that took, and the first that did."""
    bug = next(iter(MUTANTS.values()))
    ended = lab("zoo", bug.name, "--seeds", "1")
    row = rf"{re.escape(bug.name)} +{re.escape(bug.caught_by.name)} +1 +(\d+|survived)"

    assert ended.output.startswith("mutant ")
    assert re.search(row, ended.output)
    assert ended.status == ("1 survived 1 seeds" in ended.output)


@pytest.mark.parametrize("command", [["zoo", "--seeds", "9999"], ["explore"]], ids=" ".join)
def test_ctrl_c_ends_all_processes_without_a_word(command: list[str]) -> None:
    """Whoever presses it sees what was found until then, and no traceback of any process."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert "ready\n" in iter(process.stdout.readline, "")
        os.killpg(process.pid, signal.SIGINT)
        try:
            _, complaint = process.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    assert (process.returncode, complaint) == (130, "")


# ---- explore --------------------------------------------------------------------------------


def test_explore_runs_seeds_in_other_processes() -> None:
    """It counts what was seen, and says how fast it was."""
    ended = lab("explore", "--seeds", "0..4", "--cores", "2")

    assert "never seen: " in ended.output
    assert re.search(r"4 runs in .+ runs/s, .+ jobs/s, .+ virtual s per wall s", ended.output)


def summary(seed: int, *findings: str) -> Summary:
    """What a process would report of a seed."""
    return Summary(
        seed=seed, findings=findings, states={}, jobs=10, happenings=100, virtual_s=5.0, cpu_s=0.1,
        digest="",
    )  # fmt: skip


Reports = Callable[..., None]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Reports:
    """`reports(…)` is what the processes of an exploration hand in, or how they end."""

    def set_up(*reported: Summary | BaseException) -> None:
        def summaries(seeds: Iterator[int], *, cores: int | None) -> Iterator[Summary]:
            del cores
            for _, one in zip(seeds, reported, strict=False):
                if isinstance(one, BaseException):
                    raise one
                yield one

        monkeypatch.setattr(exploring, "summaries", summaries)

    return set_up


def test_explore_tells_findings_with_the_line_that_replays_them(reports: Reports) -> None:
    """One line for each seed, ready to be pasted."""
    reports(summary(7), summary(8, "live at 3 s: stuck", "order at 4 s: wrong"), summary(9))
    ended = lab("explore", "--seeds", "7..10")

    assert ended.status == 1
    assert "python -m sim replay 8    # live at 3 s: stuck (and 1 more)\n" in ended.output
    assert "3 runs in " in ended.output
    assert "1 seed with findings" in ended.output


def test_explore_gives_programs_one_document(reports: Reports) -> None:
    """With --json the findings are in it, by seed."""
    reports(summary(7), summary(8, "live at 3 s: stuck"))
    document = json.loads(lab("explore", "--seeds", "7..9", "--json").output)

    assert document["findings"] == {"8": ["live at 3 s: stuck"]}
    assert document["runs"] == 2


def test_explore_that_is_interrupted_tells_what_it_has_found(reports: Reports) -> None:
    """Ctrl-C ends the search, not what came of it."""
    reports(summary(7, "live at 3 s: stuck"), KeyboardInterrupt())
    ended = lab("explore", "--seeds", "7..10")

    assert ended.status == 130
    assert "replay 7 " in ended.output
    assert "1 run in " in ended.output


def test_explore_names_the_seeds_that_a_dead_process_had(reports: Reports) -> None:
    """Whoever runs them one by one finds out which it was."""
    reports(summary(7), BrokenProcessPool("gone"))
    ended = lab("explore", "--seeds", "7..20")

    assert ended.status == 1
    assert "a process died that had one of these seeds: 8; run each by itself" in ended.complaint


def test_explore_stops_when_its_time_is_over(reports: Reports) -> None:
    """Without a range it goes on for as long as it may."""
    reports(*map(summary, range(5)))

    assert "5 runs in " in lab("explore", "--minutes", "1").output
    assert lab("explore", "--minutes", "0").output == ""


def test_sums_are_sums() -> None:
    """What processes report is added up, findings by seed."""
    totals = Totals()
    totals.add(summary(7))
    totals.add(summary(8, "live at 3 s: stuck"))

    assert (totals.runs, totals.jobs, totals.virtual_s) == (2, 20, 10.0)
    assert totals.failed == {8: ("live at 3 s: stuck",)}


# ---- the page about it ----------------------------------------------------------------------


def test_every_command_on_the_page_is_one_that_the_program_takes() -> None:
    """Commands and options that docs/simulator/lab.md shows exist; no command is left out."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group has them
    shown = re.findall(r"python -m sim (\w[^\n`#]*)", PAGE.read_text("utf-8"))
    for line in shown:
        name, *arguments = shlex.split(line)
        commands[name].make_context(name, arguments)

    assert {line.split()[0] for line in shown} == set(commands)
