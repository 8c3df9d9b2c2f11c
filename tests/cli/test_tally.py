"""What a drain shows of its progress: the figures, the bar, and the lines in its place."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Final
from uuid import UUID

import pytest
import trio
from trio.testing import MockClock

from trioworker.cli.progress import WRITE_EVERY_S, Tally, showing
from trioworker.cli.sinks import Log, log_sink
from trioworker.events import BatchPulled, BatchStored, CommitFailed, Event, WorkerStarted
from trioworker.model.failures import Step
from trioworker.settings import LogFormat, LogLevel

WORKER: Final = UUID(int=1)
STARTED: Final = WorkerStarted(worker=WORKER, mode="agent-batch", tags=("default",))
ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Terminal:
    """The end of a terminal at which its user sits."""

    def __init__(self, end: int) -> None:
        self._end = end
        self._seen = ""

    async def shows(self, text: str) -> str:
        """Wait until `text` has appeared; returns all that has, without colours and movements."""
        while text not in self._seen:
            await trio.lowlevel.wait_readable(self._end)
            self._seen = ESCAPES.sub("", self._seen + os.read(self._end, 65_536).decode())
        return self._seen


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal of 80 columns in the place of stderr."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    user, ours = os.openpty()
    with os.fdopen(ours, "w", buffering=1) as stderr, redirect_stderr(stderr):
        yield Terminal(user)
    os.close(user)


def json_log(level: LogLevel = LogLevel.INFO) -> Log:
    """A log for programs, which needs no terminal."""
    return Log(level, LogFormat.JSON)


def people_log() -> Log:
    """A log for people, who like a bar below it."""
    return Log(LogLevel.INFO, LogFormat.CONSOLE)


def stored(jobs: int, failed: int = 0) -> BatchStored:
    """A commit of so many outcomes."""
    ids = [UUID(int=number) for number in range(jobs)]
    return BatchStored(worker=WORKER, jobs=ids, stored=jobs, failed=failed, lost=(), seconds=0.01)


def pulled(jobs: int) -> BatchPulled:
    """A pull of so many jobs."""
    ids = [UUID(int=number) for number in range(jobs)]
    return BatchPulled(worker=WORKER, claim=WORKER, asked=100, jobs=ids, seconds=0.01)


def commit_failed(step: Step) -> CommitFailed:
    """A commit that failed, and what came of it."""
    ids = [UUID(int=number) for number in range(100)]
    return CommitFailed(
        worker=WORKER, jobs=ids, size=100, tries=1, failure="refused", step=step, message="no"
    )


def count(tally: Tally, *happened: Event) -> None:
    """Let the tally hear what happened."""
    for event in happened:
        tally(event)


def progress_lines(capsys: pytest.CaptureFixture[str]) -> list[int]:
    """How many jobs each line since the last look says are done."""
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["event"] for line in lines} <= {"progress"}
    return [line["jobs"] for line in lines]


async def test_a_tally_adds_up(mock_clock: MockClock) -> None:
    """Jobs, failures, batches and their mean; the rate is from the start to the last commit."""
    tally = Tally()
    mock_clock.jump(1)
    count(tally, STARTED, pulled(100), pulled(20))
    mock_clock.jump(2)
    count(tally, stored(90, failed=4), stored(30, failed=1))
    mock_clock.jump(60)

    assert (tally.pulls, tally.pulled) == (2, 120)
    assert tally.fields() == {
        "jobs": 120,
        "jobs_per_s": 60,
        "failed": 5,
        "batches": 2,
        "mean_batch": 60.0,
        "fallbacks": 0,
    }


async def test_a_second_life_goes_on_with_the_first_ones_clock(mock_clock: MockClock) -> None:
    """A worker that came back under a new id was away meanwhile, and its rate says so."""
    tally = Tally()
    mock_clock.jump(1)
    count(tally, STARTED)
    mock_clock.jump(10)
    count(tally, STARTED)
    mock_clock.jump(10)
    count(tally, stored(40))

    assert tally.jobs_per_s == 2


async def test_a_tally_of_nothing_is_all_zeros(mock_clock: MockClock) -> None:
    """A drain that finds nothing has no rate and no mean, and divides by neither."""
    tally = Tally()
    assert {*tally.fields().values()} == {0}

    mock_clock.jump(1)
    count(tally, STARTED)
    mock_clock.jump(1)
    assert {*tally.fields().values()} == {0}


def test_a_fallback_is_a_batch_that_was_divided() -> None:
    """To try the same again, or to refuse one outcome, is none."""
    tally = Tally()
    count(tally, *(commit_failed(step) for step in Step))

    assert tally.fallbacks == 1


async def test_a_terminal_shows_a_bar_that_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the drain runs, the bar is drawn again and again; at its end it is complete."""
    tally = Tally()
    with terminal(monkeypatch) as user:
        async with showing(tally, people_log(), total=100):
            await user.shows(" 0 of 100 jobs 0/s 0 failed 0 batches of 0.0 0 fallbacks")
            count(tally, STARTED, stored(60, failed=2), commit_failed(Step.DIVIDE))
            await user.shows(" 60 of 100 jobs ")
            await user.shows("/s 2 failed 1 batches of 60.0 1 fallbacks")
            count(tally, stored(40))
        await user.shows(" 100 of 100 jobs ")


async def test_log_lines_stand_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that is logged meanwhile is whole, and the bar goes on below it."""
    tally, log = Tally(), people_log()
    with terminal(monkeypatch) as user:
        async with showing(tally, log, total=100):
            await user.shows(" 0 of 100 jobs ")
            log_sink(log)(STARTED)
            await user.shows("worker started")
            count(tally, stored(1))
            seen = await user.shows(" 1 of 100 jobs ")

    assert seen.index("worker started") < seen.index(" 1 of 100 jobs ")


async def test_jobs_that_come_during_a_drain_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is enqueued meanwhile belongs to the whole: the bar never shows 5 of 3."""
    tally = Tally()
    with terminal(monkeypatch) as user:
        async with showing(tally, people_log(), total=3):
            count(tally, stored(5))
        await user.shows(" 5 of 5 jobs ")


async def test_the_bar_fits_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hundred thousand jobs no figure of it is cut off."""
    tally = Tally(started_s=trio.current_time() - 1)
    with terminal(monkeypatch) as user:
        async with showing(tally, people_log(), total=100_000):
            count(tally, *(stored(225) for _ in range(300)))
        seen = await user.shows(" 67,500 of 100,000 jobs ")

    assert "0 failed 300 batches of 225.0 0 fallbacks" in seen
    assert "…" not in seen


async def test_elsewhere_progress_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], autojump_clock: MockClock
) -> None:
    """Without a terminal there is a line every few seconds, and one at the end."""
    assert autojump_clock.autojump_threshold == 0
    tally = Tally()
    async with showing(tally, json_log(), total=10):
        count(tally, stored(3))
        await trio.sleep(WRITE_EVERY_S * 2.5)
        assert progress_lines(capsys) == [3, 3]
        count(tally, stored(4))
    assert progress_lines(capsys) == [7]


async def test_progress_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    """Who asked for warnings only gets no lines of progress."""
    async with showing(Tally(), json_log(LogLevel.WARNING), total=10):
        pass
    assert capsys.readouterr().err == ""
