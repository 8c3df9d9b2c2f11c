"""Processes that break the rules of the protocol: nobody else's job pays for it."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from tests.runners.jobs import error, result, until, write
from trioworker.model.outcome import Outcome
from trioworker.runners import host_process
from trioworker.runners.framing import LineSplitter, job_line
from trioworker.runners.host_group import HostGroup, HostLimits
from trioworker.runners.host_process import HostCommand
from trioworker.runners.joblog import JobLog

HOST = """
import json, os, sys, time
from pathlib import Path
jobs, replies = open(int(sys.argv[1]), "rb"), int(sys.argv[2])

def job():
    line = jobs.readline()
    return json.loads(line) if line else sys.exit()

def write(text):
    os.write(replies, text.encode())

write('{"ready":true}\\n')
"""

OpenGroup = Callable[[str], AbstractAsyncContextManager[HostGroup]]


@pytest.fixture
def opened(tmp_path: Path) -> OpenGroup:
    """Opens a group of one process that is a host in python, extended by some text."""

    @asynccontextmanager
    async def open_group(text: str) -> AsyncIterator[HostGroup]:
        file = write(tmp_path / "host.py", HOST + text)
        async with trio.open_nursery() as nursery:
            command = HostCommand((sys.executable, str(file)), (), tmp_path)
            yield HostGroup(command, HostLimits(), nursery, Random(1))
            nursery.cancel_scope.cancel()

    return open_group


async def call(group: HostGroup, args: object, log: JobLog | None = None) -> Outcome:
    """Run one job."""
    return await group.call(partial(job_line, args=str(args)), log or JobLog())


async def in_order(nursery: trio.Nursery, *tasks: Callable[[], Awaitable[object]]) -> None:
    """Start tasks one after the other, each once those before it wait."""
    for task in tasks:
        nursery.start_soon(task)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_host_that_begins_a_dropped_job_does_not_keep_the_others(
    opened: OpenGroup, tmp_path: Path
) -> None:
    """It has a moment to say that it dropped the job; then its process is replaced."""
    text = """
if Path("second").exists():
    write('{"id":%d,"result":"moved"}\\n' % job()["id"])
first = job()
Path("second").touch()
while not Path("go").exists():
    time.sleep(0.002)
write('{"id":%d,"result":"first"}\\n' % first["id"])
time.sleep(60)
"""
    outcomes: dict[str, Outcome] = {}
    dropped = trio.CancelScope()
    async with opened(text) as group, trio.open_nursery() as nursery:

        async def one(name: str) -> None:
            outcomes[name] = await call(group, 1)

        async def drop() -> None:
            with dropped:
                await call(group, 1)

        nursery.start_soon(one, "first")
        await until((tmp_path / "second").exists)
        await in_order(nursery, drop, partial(one, "moved"))
        dropped.cancel()
        await until(lambda: dropped.cancelled_caught)
        (tmp_path / "go").touch()
    assert {name: result(o) for name, o in outcomes.items()} == {
        "first": '"first"',
        "moved": '"moved"',
    }


async def test_a_job_whose_reply_was_skipped_fails(opened: OpenGroup) -> None:
    """Replies come in order; a later one means that an earlier one will not come."""
    text = """
skipped, answered = job(), job()
write('{"id":%d,"result":2}\\n' % answered["id"])
job()
"""
    outcomes: dict[str, Outcome] = {}
    async with opened(text) as group, trio.open_nursery() as nursery:

        async def one(name: str) -> None:
            outcomes[name] = await call(group, 1)

        await in_order(nursery, partial(one, "skipped"), partial(one, "answered"))
    assert error(outcomes["skipped"]).name == "ReplyLost"
    assert result(outcomes["answered"]) == "2"


async def test_a_reply_that_is_no_json_fails_its_job_only(opened: OpenGroup) -> None:
    """Garbage with an id is that job's failure, garbage without one is log."""
    text = """
write('garbage\\n{"id":%d,"result":tru}\\n' % job()["id"])
write('{"id":99,"result":1}\\n{"id":%d,"result":2}\\n' % job()["id"])
job()
"""
    log = JobLog()
    async with opened(text) as group:
        unreadable = await call(group, 1, log)
        after = await call(group, 2)
    assert error(unreadable).name == "UnreadableReply"
    assert error(unreadable).message.startswith("the script's reply is no JSON: ")
    assert log.text() == "garbage\n"
    assert result(after) == "2"


async def test_a_reply_that_is_nested_too_deeply_fails_its_job_only(opened: OpenGroup) -> None:
    """The process goes on, and so does the worker."""
    text = """
write('{"id":%d,"result":%s}\\n' % (job()["id"], "[" * 100_000 + "]" * 100_000))
write('{"id":%d,"result":2}\\n' % job()["id"])
job()
"""
    async with opened(text) as group:
        too_deep = await call(group, 1)
        after = await call(group, 2)
    assert error(too_deep).name == "UnreadableReply"
    assert result(after) == "2"


async def test_a_reply_may_come_in_pieces(opened: OpenGroup) -> None:
    """A line counts when its newline is there."""
    text = """
for piece in ('{"id":%d' % job()["id"], ',"result":', '"whole', '"}', '\\n'):
    write(piece)
    time.sleep(0.01)
job()
"""
    async with opened(text) as group:
        assert result(await call(group, 1)) == '"whole"'


async def test_a_line_without_end_ends_its_process(
    opened: OpenGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job that ran is told why."""
    splitter = partial(LineSplitter, bytes_max=100_000)
    monkeypatch.setattr(host_process, "LineSplitter", splitter)
    async with opened("\njob()\nwhile True: write('x' * 10_000)") as group:
        failure = error(await call(group, 1))
    assert failure.name == "ProcessDied"
    assert failure.message.startswith(
        "the process sent a line of more than 100,000 bytes and was killed while it ran this job"
    )


async def test_a_process_killed_while_idle_costs_no_job(opened: OpenGroup, tmp_path: Path) -> None:
    """The next job finds a new process."""
    text = """
with open("pids", "a") as pids:
    pids.write("x")
write('{"id":%d,"result":1}\\n' % job()["id"])
time.sleep(0.01)
os.kill(os.getpid(), 9)
"""
    async with opened(text) as group:
        for _ in range(3):
            assert result(await call(group, 1)) == "1"
            await until(lambda: not group.live_hosts)
    assert (tmp_path / "pids").read_text() == "xxx"


async def test_a_program_that_is_not_there_fails_the_jobs(tmp_path: Path) -> None:
    """After the usual number of tries, with the system's own words."""
    async with trio.open_nursery() as nursery:
        command = HostCommand((str(tmp_path / "nowhere"),), ())
        failure = error(await call(HostGroup(command, HostLimits(), nursery, Random(1)), 1))
    assert failure.name == "StartFailed"
    assert "nowhere cannot be started: [Errno 2] No such file" in failure.message


async def test_several_processes_share_one_queue(tmp_path: Path) -> None:
    """With a window of one each, jobs run side by side up to the number of processes."""
    text = """
while True:
    this = job()
    Path(str(this["args"])).touch()
    while len(list(Path().glob("[0-9]"))) < 2:
        time.sleep(0.002)
    write('{"id":%d,"result":%d}\\n' % (this["id"], os.getpid()))
"""
    file = write(tmp_path / "host.py", HOST + text)
    outcomes: list[str] = []
    async with trio.open_nursery() as nursery:
        command = HostCommand((sys.executable, str(file)), (), tmp_path)
        group = HostGroup(command, HostLimits(window=1, processes=2), nursery, Random(1))

        async def one(number: int) -> None:
            outcomes.append(result(await call(group, number)))

        async with trio.open_nursery() as jobs:
            for number in range(6):
                jobs.start_soon(one, number)
        nursery.cancel_scope.cancel()
    assert len(outcomes) == 6
    assert len(set(outcomes)) == 2
