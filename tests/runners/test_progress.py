"""Progress that jobs tell while they run, wherever that is."""

import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest
import trio

from tests.runners.jobs import a_job, dedicated_job, error, result, script_job, until, write
from tests.runners.progress_functions import app
from trioworker.model.job import Job
from trioworker.model.outcome import Outcome
from trioworker.model.progress import Progress, progress_of
from trioworker.runners.framing import read_reply
from trioworker.runners.function import FunctionRunner
from trioworker.runners.host_call import HostCall, learn
from trioworker.runners.joblog import JobLog
from trioworker.runners.script import ScriptRunner
from trioworker.runners.scripts import Scripts
from trioworker.runners.teller import Teller
from trioworker.runners.telling import Telling

FLAVOURS: Final = ("async", "asyncio", "thread", "process")
SCRIPTS: Final = {
    "tell.py": """
        import sys
        def main():
            print("begun")
            print("::progress 0.25 a quarter")
            sys.stderr.write("::progress 0.5 ")
            sys.stderr.flush()
            sys.stderr.write("ä half\\n::progress 2 too far\\nended\\n")
        if __name__ == "__main__":
            main()
        """,
    "tell.sh": """
        echo begun
        echo '::progress 0.25 a quarter'
        printf '::progress 0.5 ' >&2
        printf 'ä half\\n::progress 2 too far\\nended\\n' >&2
        """,
    "tell.mjs": """
        export function main() {
          console.log("begun");
          console.log("::progress 0.25 a quarter");
          process.stderr.write("::progress 0.5 ");
          process.stderr.write("ä half\\n::progress 2 too far\\nended\\n");
        }
        if (process.argv.length < 3) main();
        """,
}


@pytest.fixture
async def runner() -> AsyncIterator[FunctionRunner]:
    """An open runner with one process."""
    runner = FunctionRunner(app, Random(1), processes=1, concurrency=100)
    async with runner.open():
        yield runner


async def told(
    runner: FunctionRunner, path: str, *steps: Sequence[object]
) -> tuple[Outcome, Progress | None]:
    """The outcome of a job that tells those, and the progress that it has."""
    log = JobLog()
    outcome = await runner.run(a_job(path, json.dumps({"told": steps})), log)
    return outcome, log.progress.newest


@pytest.mark.parametrize("flavour", FLAVOURS)
async def test_what_is_told_last_counts(runner: FunctionRunner, flavour: str) -> None:
    """With its note, if it has one, even where it goes back."""
    outcome, progress = await told(runner, flavour, [0.9, "first"], [0.25, "wählt"])
    assert (result(outcome), progress) == ("2", Progress(0.25, "wählt"))
    assert (await told(runner, flavour, [0.5, "first"], [1]))[1] == Progress(1.0)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("bad", [[1.01], ["much"], [0.5, "x" * 501]], ids=str)
async def test_what_will_not_do_is_the_jobs_failure(
    runner: FunctionRunner, flavour: str, bad: Sequence[object]
) -> None:
    """Where it was told, in one line; what was told before is kept."""
    outcome, progress = await told(runner, flavour, [0.25, "good"], bad)
    assert "progress" in error(outcome).message
    assert progress == Progress(0.25, "good")


@pytest.mark.parametrize("flavour", ["async", "thread", "process"])
@pytest.mark.parametrize("second", ["second", "fail"])
async def test_each_job_of_a_chunk_has_its_own(
    runner: FunctionRunner, flavour: str, second: str
) -> None:
    """And its labels and its log, also when the chunk fails."""
    logs = {name: JobLog() for name in ("first", second)}
    async with trio.open_nursery() as nursery:
        for name, log in logs.items():
            nursery.start_soon(runner.run, a_job(f"{flavour} chunk", f'{{"name":"{name}"}}'), log)
            await trio.testing.wait_all_tasks_blocked()
    for number, (name, log) in enumerate(logs.items(), 1):
        assert log.progress.newest == Progress(number / 10, name)
        assert list(log.labels) == [name]
        assert log.text() == f"{name}\n"


async def test_a_process_tells_the_newest_while_it_works_on_in_silence(
    runner: FunctionRunner, tmp_path: Path
) -> None:
    """Steps that come too quickly are left out, never the last of them."""
    log = JobLog()
    go = tmp_path / "go"
    job = a_job("stay", json.dumps({"steps": 20_000, "go": str(go)}))
    heard: list[Progress] = []

    def is_silent() -> bool:
        newest = log.progress.newest
        if newest is not None and newest not in heard:
            heard.append(newest)
        return newest == Progress(0.5, "silent")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(runner.run, job, log)
        await until(is_silent, 60.0)
        go.touch()
    assert log.progress.newest == Progress(1.0)
    assert len(heard) < 1_000


@pytest.mark.parametrize(
    ("name", "job"),
    [
        *((name, script_job) for name in SCRIPTS),
        *((name, dedicated_job) for name in ("tell.py", "tell.mjs")),
    ],
)
async def test_a_script_prints_its_progress(
    tmp_path: Path, name: str, job: Callable[[str], Job]
) -> None:
    """A line that tells it is no line of the log; one that will not do is, with the reason."""
    write(tmp_path / name, SCRIPTS[name])
    runner = ScriptRunner(Scripts(tmp_path), Random(1))
    log = JobLog()
    async with runner.open():
        outcome = await runner.run(job(name), log)
    assert result(outcome) == "null"
    assert log.progress.newest == Progress(0.5, "ä half")
    assert log.text() == (
        "begun\n::progress 2 too far\n"
        "trioworker: a progress of 2.0 will not do; it goes from 0 to 1\nended\n"
    )


@pytest.mark.parametrize(
    ("reply", "log"),
    [
        ('"labels":["a","","b"],"progress":[0.5,"x"]', "trioworker: the label is empty\n"),
        ('"labels":["a","b"],"progress":[0.5,"x"],"member":0', ""),
    ],
)
def test_what_will_not_do_of_a_reply_is_a_line_of_the_log(reply: str, log: str) -> None:
    """The process that says it harms neither the worker nor what else it has said."""
    found = JobLog()
    learn(found, read_reply(f"{{{reply}}}".encode()))
    assert (list(found.labels), found.progress.newest) == (["a", "b"], Progress(0.5, "x"))
    assert found.text() == log


def test_a_progress_that_will_not_do_leaves_the_one_before() -> None:
    """Of whatever job of a chunk; one that is none is not told of."""
    logs = [JobLog(), JobLog()]
    call = HostCall(1, b"", JobLog(), members=logs)
    for reply in ('[0.5,"a"],"member":1', '[7,"b"],"member":1', '[0.1,"c"],"member":2'):
        call.learn(read_reply(f'{{"id":1,"progress":{reply}}}'.encode()))
    assert [log.progress.newest for log in logs] == [None, Progress(0.5, "a")]
    assert logs[1].text() == "trioworker: a progress of 7.0 will not do; it goes from 0 to 1\n"


def test_it_is_offered_until_it_is_stored() -> None:
    """And again only when it has changed meanwhile."""
    telling = Telling()
    assert telling.offer() is None
    telling.tell(progress_of(0.5))
    assert telling.offer() == telling.offer() == Progress(0.5)
    telling.tell(progress_of(0.6))
    telling.accept()
    assert telling.offer() == Progress(0.6)
    telling.accept()
    telling.tell(progress_of(0.6))
    assert telling.offer() is None


def test_a_teller_sends_the_first_at_once_and_the_last_by_the_end() -> None:
    """What comes between may be left out; what comes after the job is nobody's."""
    sent: list[dict[str, Any]] = []
    teller = Teller(sent.append, every_s=threading.TIMEOUT_MAX)
    with teller.telling_of(7):
        for step in range(10):
            teller.tell(Progress(step / 10), job=7)
            teller.tell(Progress(step / 20), job=7, member=1)
        teller.tell(Progress(1.0), job=6)
        assert [message["progress"] for message in sent] == [(0.0, "")]
    teller.tell(Progress(1.0), job=7)
    told = [(one["id"], one["member"], one["progress"][0]) for one in sent]
    assert told == [(7, 0, 0.0), (7, 1, 0.45), (7, 0, 0.9)]
