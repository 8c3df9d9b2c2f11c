"""An agent runs all that a worker with a database runs, and what comes of it is stored alike."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Unpack
from uuid import UUID

import pytest
import trio

from tests.server.agents import Server, open_server
from tests.server.sorts import CHUNK, app, write_scripts
from trioworker import Client, JobFailed, open_client
from trioworker.events import BatchPulled, Event
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.job_settings import JobSettings
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

PATIENCE_S = 30.0


@dataclass
class Agent:
    """An agent at work, and a client of the queue, which knows nothing of it."""

    client: Client
    mode: Mode
    events: list[Event]

    async def result(
        self, path: str, args: list[Any] | dict[str, Any] | None = None, **more: Unpack[JobSettings]
    ) -> object:
        """What comes of a job."""
        job = await self.client.enqueue(path, args, awaited=True, **more)
        return await self.client.result(job, timeout_s=PATIENCE_S)

    async def log(self, job: UUID) -> str:
        """What a job wrote."""
        return "".join(part.text for part in await self.client.logs(job))


@pytest.fixture(params=[Mode.AGENT_BATCH, Mode.AGENT], ids=str)
async def agent(
    request: pytest.FixtureRequest, database_url: str, tmp_path: Path
) -> AsyncIterator[Agent]:
    """With the runners of `trioworker run`, over a real server."""
    async with (
        open_server(database_url) as server,
        open_client(database_url, app=app) as client,
        trio.open_nursery() as nursery,
    ):
        agent, stop = Agent(client, request.param, []), Stop()
        nursery.start_soon(_work, server, agent, write_scripts(tmp_path), stop)
        yield agent
        stop.ask()


async def _work(server: Server, agent: Agent, scripts: Path, stop: Stop) -> None:
    runners = build_runners(app, scripts_dir=scripts, rng=Random(1), processes=1, concurrency=10)
    config = WorkerConfig(
        name="agent", host="here", pid=1, mode=agent.mode, tags=unranked("default"),
        sizes=sizes_for(agent.mode, pull=10, commit=10), concurrency=10, log_flush_s=0.05,
    )  # fmt: skip
    async with server.store(batches=agent.mode.batches) as store, open_runners(runners):
        report = await work(
            store=store,
            runners=runners,
            config=config,
            ports=Ports(new_id, Random(1)),
            stop=stop,
            emit=agent.events.append,
        )
    assert report.unsaved == []


@pytest.mark.parametrize("path", ["greet", "greet_too"])
async def test_an_async_function(agent: Agent, path: str) -> None:
    """On Trio and on asyncio, with its log."""
    assert await agent.result(path, ["you"]) == "Hello, you!"
    [state] = await agent.client.jobs()
    assert await agent.log(state.id) == ("about to greet you\n" if path == "greet" else "")


async def test_a_function_in_a_thread(agent: Agent) -> None:
    """With arguments by name; those that do not fit are a failure, as ever."""
    assert await agent.result("add", {"a": 1, "b": 2}) == 3
    with pytest.raises(JobFailed, match="not yet"):
        await agent.result("fail_at_first", retry=None)


async def test_a_function_in_a_process(agent: Agent) -> None:
    """What takes the processor has one to itself."""
    assert await agent.result("count_primes", [30]) == 10


async def test_a_chunk_function(agent: Agent) -> None:
    """All calls at once, and a result or an error for each."""
    jobs = [await agent.client.enqueue("add_each", {"a": 1, "b": b}) for b in range(CHUNK)]
    ends = [await agent.client.wait(job, timeout_s=PATIENCE_S) for job in jobs]
    assert [end.state for end in ends] == ["failure", "success", "success"]
    assert [end.result for end in ends] == [None, 2, 3]


async def test_a_script(agent: Agent) -> None:
    """A program of its own, with its result and its log."""
    job = await agent.client.enqueue("shout.sh", {"loud": True}, kind="script")
    assert await agent.client.result(job, timeout_s=PATIENCE_S) == "HELLO"
    assert await agent.log(job) == 'shouting {"loud": true}\n'


async def test_a_dedicated_script(agent: Agent) -> None:
    """One process for all its jobs, which it runs one after the other."""
    jobs = [
        await agent.client.enqueue("double.py", [number], kind="script", dedicated=True)
        for number in range(5)
    ]
    results = [await agent.client.result(job, timeout_s=PATIENCE_S) for job in jobs]
    assert [result["twice"] for result in results] == [0, 2, 4, 6, 8]
    assert len({result["by"] for result in results}) == 1
    assert await agent.log(jobs[3]) == "doubling 3\n"


async def test_progress_and_lines_come_while_it_runs(agent: Agent, tmp_path: Path) -> None:
    """Whoever looks sees how far it is, and its end afterwards."""
    file = tmp_path / "there"
    job = await agent.client.enqueue("climb", [str(file)])
    with trio.fail_after(PATIENCE_S):
        while (told := (await agent.client.job(job)).progress) is None:  # noqa: ASYNC110 - stored
            await trio.sleep(0.01)
        async with aclosing(agent.client.follow_logs(job)) as parts:
            assert (await anext(parts)).text.startswith("step 1\n")
    assert (told.fraction, told.note.startswith("after ")) == (0.5, True)
    file.touch()
    assert await agent.client.result(job, timeout_s=PATIENCE_S) == "up"


async def test_labels(agent: Agent) -> None:
    """Those that it was given, and those that it gives itself."""
    assert await agent.result("mark", ["mine"], labels=["theirs"]) is None
    for label in ("mine", "theirs"):
        assert len(await agent.client.jobs(label=label)) == 1


async def test_another_attempt(agent: Agent) -> None:
    """An agent follows the policy of its function; the one that failed is in the history."""
    job = await agent.client.enqueue("fail_at_first")
    assert await agent.client.result(job, timeout_s=PATIENCE_S) == 2
    [attempt] = await agent.client.attempts(job)
    assert attempt.attempt == 1


async def test_a_handler_is_told(agent: Agent) -> None:
    """By a job that the server enqueues, and the agent runs."""
    await agent.result("greet", ["you"], on_success="praise")
    with trio.fail_after(PATIENCE_S):
        while not (praised := await agent.client.jobs(path="praise", state="success")):  # noqa: ASYNC110 - stored
            await trio.sleep(0.01)
    assert praised[0].result == "greet"


async def test_only_batches_bring_more_than_one(agent: Agent) -> None:
    """Several that are ready at once come together, or one after the other."""
    jobs = [agent.client.make("add", b'{"a": 1, "b": 1}') for _ in range(20)]
    made = [await job for job in jobs]
    await agent.client.enqueue_many(made)
    for job in made:
        await agent.client.wait(job.id, timeout_s=PATIENCE_S)
    most = max(len(event.jobs) for event in agent.events if isinstance(event, BatchPulled))
    assert (most > 1) == agent.mode.batches
