"""Deployed scripts on a worker with a real database: looked up, run, and what their ends store."""

import os
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec
import pytest
import trio

from tests.worker.harness import Rig, until
from trioworker.client import open_client
from trioworker.errors import ConnectionLost, StoreError, UnknownStoreError
from trioworker.events import LookupFailed
from trioworker.ids import new_id
from trioworker.model.batching import BatchPolicy, Mode, sizes_for
from trioworker.model.script import Deployed, ScriptHead
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.runners.shelf import Shelf
from trioworker.store.postgres.scripts import PostgresScripts
from trioworker.store.postgres.store import PostgresStore
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

TAGS = ("default", "dependencies")
ANSWER = "echo {} > $TRIOWORKER_RESULT"
PREPROCESSES = """
def preprocess(args):
    return {"order": args["body"]["order"]}

def main(order):
    if order < 0:
        raise ValueError("no such order")
    return order * 2
"""
NOTES = """
import pathlib
def main(folder, number):
    with open(pathlib.Path(folder, "ran"), "a") as ran:
        ran.write(f"{number}\\n")
    return VERSION
"""


async def deploy(rig: Rig, path: str, text: str, *, dedicated: bool = False) -> Deployed:
    """A new version."""
    async with open_client(rig.url) as client:
        return await client.scripts.deploy(path, text, dedicated=dedicated)


async def work_on(
    rig: Rig,
    folder: Path,
    *,
    mode: Mode = Mode.AGENT_BATCH,
    stop: Stop | None = None,
    store: PostgresStore | None = None,
    **settings: object,
) -> None:
    """Run a worker with scripts until it is drained or stopped."""
    store = store or rig.store()
    shelf = Shelf(folder, store.scripts, folder / "cache", Random(1))
    defaults: dict[str, object] = {
        "name": "test", "host": "here", "pid": 1, "tags": unranked(*TAGS), "concurrency": 100,
        "drain": stop is None,
    }  # fmt: skip
    config = WorkerConfig(
        mode=mode,
        sizes=sizes_for(mode, pull=100, commit=100),
        **(defaults | settings),  # type: ignore[arg-type]  # checked where it is used
    )
    runners = build_runners(None, scripts_dir=folder, rng=Random(1), deployed=shelf)
    async with open_runners(runners):
        await work(
            store=store, runners=runners, config=config, ports=Ports(new_id, Random(1)),
            stop=stop or Stop(), emit=rig.events.append, scripts=shelf.scripts,
        )  # fmt: skip


def results(rig: Rig) -> Mapping[object, int]:
    """What came of all jobs, and how often."""
    return Counter(
        msgspec.json.decode(row[0])
        for row in rig.query("select result::text from trioworker.job_completed")
        if row[0] is not None
    )


@pytest.mark.parametrize("mode", [Mode.WORKER, Mode.AGENT_BATCH])
async def test_a_job_that_comes_after_a_deploy_is_run_by_it(
    rig: Rig, tmp_path: Path, mode: Mode
) -> None:
    """And what is not deployed by the file in the folder; one look is for a whole batch."""
    (tmp_path / "b.sh").write_text(ANSWER.format(9))
    for version in (1, 2):
        await deploy(rig, "a.sh", ANSWER.format(version))
        await rig.enqueue(3, kind="script", path="a.sh")
        await rig.enqueue(1, kind="script", path="b.sh")
        await work_on(rig, tmp_path, mode=mode)
        assert results(rig)[version] == 3
    assert results(rig) == {1: 3, 2: 3, 9: 2}
    looks = len(rig.statements("newest_scripts"))
    assert looks == (2 if mode is Mode.AGENT_BATCH else 8)


async def test_no_look_is_made_for_other_jobs(rig: Rig, tmp_path: Path) -> None:
    """They cost what they did."""
    await rig.enqueue(3, kind="noop")
    await work_on(rig, tmp_path)
    assert rig.statements("newest_scripts") == []


async def test_a_look_that_fails_is_made_again(rig: Rig, tmp_path: Path) -> None:
    """An outage does not decide which version is run."""
    await deploy(rig, "a.sh", ANSWER.format(1))
    (tmp_path / "a.sh").write_text(ANSWER.format(9))
    await rig.enqueue(1, kind="script", path="a.sh")
    store = rig.store()
    store.scripts = Blind(rig.database, "pull", times=2)
    await work_on(rig, tmp_path, store=store)
    assert results(rig) == {1: 1}
    assert [event.message for event in rig.said(LookupFailed)] == ["cut", "cut"]


class Blind(PostgresScripts):
    """Does not see which versions are the newest, the first few times."""

    def __init__(
        self,
        database: object,
        lane: str,
        *,
        times: int,
        error: StoreError = ConnectionLost("cut"),  # noqa: B008 - the same will do
    ) -> None:
        super().__init__(database, lane)  # type: ignore[arg-type]  # it is the rig's
        self.times = times
        self.error = error

    async def newest_scripts(self, paths: Sequence[str]) -> Mapping[str, ScriptHead]:
        """See `ScriptStore`."""
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return await super().newest_scripts(paths)


async def test_a_server_that_knows_no_scripts_has_none(rig: Rig, tmp_path: Path) -> None:
    """As one has that is older than they are: then the folder's are run."""
    (tmp_path / "a.sh").write_text(ANSWER.format(9))
    await rig.enqueue(1, kind="script", path="a.sh")
    store = rig.store()
    store.scripts = Blind(rig.database, "pull", times=1, error=UnknownStoreError("404"))
    await work_on(rig, tmp_path, store=store)
    assert results(rig) == {9: 1}


async def test_a_stop_does_not_wait_for_a_look(rig: Rig, tmp_path: Path) -> None:
    """What was looked for goes back at once, long before the grace is over."""
    await rig.enqueue(2, kind="script", path="a.sh")
    store, stop = rig.store(), Stop()
    store.scripts = Blind(rig.database, "pull", times=1_000)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: work_on(rig, tmp_path, store=store, stop=stop, grace_s=60.0))
            await until(lambda: rig.said(LookupFailed))
            stop.ask()
    assert rig.counts()["ready"] == 2


async def test_a_deploy_amid_the_work_loses_and_repeats_nothing(rig: Rig, tmp_path: Path) -> None:
    """Jobs of the old process end there, later ones are the new one's."""
    await deploy(rig, "a.py", NOTES.replace("VERSION", "1"), dedicated=True)

    async def enqueue(first: int) -> None:
        for number in range(first, first + 40):
            args = msgspec.json.encode({"folder": str(tmp_path), "number": number}).decode()
            await rig.enqueue(1, kind="script", path="a.py", args=args)

    stop = Stop()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: work_on(rig, tmp_path, stop=stop))
            await enqueue(0)
            await until(lambda: rig.counts()["completed"])
            await deploy(rig, "a.py", NOTES.replace("VERSION", "2"), dedicated=True)
            await enqueue(40)
            await until(lambda: rig.counts()["completed"] == 80)
            stop.ask()
    assert rig.statuses() == {"success": 80}
    ran = (tmp_path / "ran").read_text().split()
    assert sorted(map(int, ran)) == list(range(80))
    assert results(rig)[2] >= 40
    assert results(rig).keys() == {1, 2}


@pytest.mark.parametrize("policy", list(BatchPolicy))
@pytest.mark.parametrize("dedicated", [False, True])
async def test_what_a_script_makes_of_its_arguments_is_stored_with_its_end(
    rig: Rig, tmp_path: Path, policy: BatchPolicy, *, dedicated: bool
) -> None:
    """Whatever its end is; in one statement for a batch, or each for itself under policy simple."""
    await deploy(rig, "a.py", PREPROCESSES, dedicated=dedicated)
    for order in (1, 2, -1):
        await rig.enqueue(1, kind="script", path="a.py", args=f'{{"body": {{"order": {order}}}}}')
    await work_on(rig, tmp_path, policy=policy)
    found = rig.query(
        "select made.args ->> 'order', result::text from trioworker.job_preprocessed as made"
        " join trioworker.job_completed using (id) order by id"
    )
    assert found == [("1", "2"), ("2", "4"), ("-1", None)]
    if policy is BatchPolicy.SIMPLE:
        assert len(rig.statements("store_preprocessed")) == 3


async def test_what_is_not_an_end_stores_no_arguments(rig: Rig, tmp_path: Path) -> None:
    """Another attempt makes them anew; and deleted jobs leave none."""
    await deploy(rig, "a.py", PREPROCESSES, dedicated=True)
    options = '{"retry": {"attempts": 2, "delay_s": 0.0, "jitter": 0.0}}'
    await rig.enqueue(
        1, kind="script", path="a.py", args='{"body": {"order": -1}}', options=options
    )
    await work_on(rig, tmp_path)
    assert rig.statuses() == {"failure": 1}
    assert len(rig.statements("store_preprocessed")) == 1
    await rig.store().delete_ended(older_s=0.0)
    assert rig.query("select count(*) from trioworker.job_preprocessed") == [(0,)]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package `answer` 1.0 is all that pip can find."""
    info = "answer-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "answer-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("answer.py", "IT = 42\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: answer\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


@pytest.mark.usefixtures("wheels")
async def test_a_lock_is_stored_with_the_end_of_its_job(rig: Rig, tmp_path: Path) -> None:
    """And taken over by the next version that requires the same."""
    text = "# requirements: answer\nimport answer\ndef main(): return answer.IT"
    deployed = await deploy(rig, "a.py", text, dedicated=True)
    assert deployed.dependencies is not None
    await rig.enqueue(1, kind="script", path="a.py")
    await work_on(rig, tmp_path)
    assert rig.query("select lock, version from trioworker.script") == [(["answer==1.0"], 1)]
    assert rig.statuses() == {"success": 2}
    again = await deploy(rig, "a.py", f"{text}\n", dedicated=True)
    assert (again.version, again.dependencies) == (2, None)
    async with open_client(rig.url) as client:
        assert (await client.scripts.versions("a.py"))[0].lock == ("answer==1.0",)


@pytest.mark.usefixtures("wheels")
async def test_a_requirement_that_does_not_exist_is_named(rig: Rig, tmp_path: Path) -> None:
    """By the job that is to install it, and by those that need it."""
    await deploy(rig, "a.py", "# requirements: nonexistent-zzz\n")
    await rig.enqueue(1, kind="script", path="a.py")
    await work_on(rig, tmp_path, policy=BatchPolicy.SIMPLE)
    told = {error["message"].partition(":")[0] for error in rig.errors()}
    assert told == {"requirement 'nonexistent-zzz' cannot be installed"}
    assert rig.statuses() == {"failure": 2}
    assert rig.query("select lock from trioworker.script") == [(None,)]
