"""Deployed scripts over HTTP: by the jobs API, and as agents get them."""

import os
from pathlib import Path
from random import Random

import pytest
import trio

from tests.server.agents import Line, Server
from tests.server.api import api
from tests.worker.harness import Rig
from trioworker.client import open_client
from trioworker.ids import new_id
from trioworker.model.batching import Mode, sizes_for
from trioworker.model.tags import unranked
from trioworker.runners.registry import build_runners, open_runners
from trioworker.runners.shelf import Shelf
from trioworker.store import wire_scripts
from trioworker.worker.config import Ports, WorkerConfig
from trioworker.worker.supervisor import Stop, work

TEXT = """
def preprocess(args):
    return [args["order"]]

def main(order):
    return order + VERSION
"""


async def test_a_script_is_deployed_and_listed(database_url: str) -> None:
    """A new version is 201, the same again 200; what cannot be is told."""
    async with api(database_url) as client:
        wanted = {"path": "a.py", "content": "# requirements: x\n", "dedicated": True}
        first = await client.post("/api/scripts", json=wanted)
        again = await client.post("/api/scripts", json=wanted)
        assert (first.status_code, again.status_code) == (201, 200)
        made = first.json()
        assert made == {
            "path": "a.py", "version": 1, "new": True, "dependencies": made["dependencies"],
        }  # fmt: skip
        job = (await client.get(f"/api/jobs/{made['dependencies']}")).json()
        assert (job["kind"], job["path"]) == ("dependencies", "a.py")
        await client.post("/api/scripts", json={"path": "b.sh", "content": ""})
        listed = (await client.get("/api/scripts")).json()["scripts"]
        assert [one["path"] for one in listed] == ["a.py", "b.sh"]
        one = (await client.get("/api/scripts", params={"path": "a.py"})).json()["scripts"][0]
        assert (one["requirements"], one["lock"], one["created_by"]) == (["x"], None, "http")
        unknown = await client.get("/api/scripts", params={"path": "c.py"})
        assert unknown.status_code == 404
        refused = [
            (await client.post("/api/scripts", json=body)).json()["error"]
            for body in (
                {"path": "a.exe", "content": ""},
                {"path": "a.py", "content": "", "language": "cobol"},
                {"path": "a.py", "content": "# requirements: -x"},
            )
        ]
        assert "the end of 'a.exe' names no language" in refused[0]
        assert "language" in refused[1]
        assert "the requirement '-x' is an option" in refused[2]


async def work_as_agent(server: Server, folder: Path, mode: Mode) -> None:
    """Run an agent with scripts until it is drained."""
    tags = ("default", "dependencies")
    config = WorkerConfig(
        name="agent", host="here", pid=1, mode=mode, tags=unranked(*tags),
        sizes=sizes_for(mode, pull=10, commit=10), concurrency=10, drain=True,
    )  # fmt: skip
    async with server.store(await server.token(*tags), batches=mode.batches) as store:
        shelf = Shelf(folder, store.scripts, folder / "cache", Random(1))
        runners = build_runners(None, scripts_dir=folder, rng=Random(1), deployed=shelf)
        async with open_runners(runners):
            await work(
                store=store, runners=runners, config=config, ports=Ports(new_id, Random(1)),
                stop=Stop(), emit=lambda _: None, scripts=shelf.scripts,
            )  # fmt: skip


@pytest.mark.parametrize("mode", [Mode.AGENT, Mode.AGENT_BATCH])
async def test_an_agent_runs_what_is_deployed(
    server: Server, rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
) -> None:
    """The newest version, with its preprocess, and it finds locks, too."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    async with open_client(rig.url) as client:
        for version in (10, 20):
            text = TEXT.replace("VERSION", str(version))
            await client.scripts.deploy("a.py", text, dedicated=version == 20)
            for order in (1, 2):
                await rig.enqueue(1, kind="script", path="a.py", args=f'{{"order": {order}}}')
            with trio.fail_after(60):
                await work_as_agent(server, tmp_path, mode)
        found = rig.query(
            "select args::text, result::text from trioworker.job_preprocessed"
            " join trioworker.job_completed using (id) order by id"
        )
        assert found == [("[1]", "11"), ("[2]", "12"), ("[1]", "21"), ("[2]", "22")]
        rig.do(
            "update trioworker.script set requirements = '[]'; insert into trioworker.job"
            " (id, kind, path, args, tag) values"
            " (gen_random_uuid(), 'dependencies', 'a.py', '{\"version\": 2}', 'dependencies');"
            " insert into trioworker.ready (id, tag, priority, scheduled_for)"
            " select id, tag, 0, now() from trioworker.job where kind = 'dependencies'"
        )
        await work_as_agent(server, tmp_path, mode)
    assert rig.query("select lock from trioworker.script order by version") == [(None,), ([],)]


async def test_scripts_of_others_are_not_told(server: Server, line: Line, rig: Rig) -> None:
    """One is for who has a job in hands that is to run it."""
    async with open_client(rig.url) as client:
        for path in ("a.sh", "b.sh"):
            await client.scripts.deploy(path, "true")
    await rig.enqueue(1, kind="script", path="a.sh")
    await rig.enqueue(1, path="b.sh")
    token = await server.token()
    worker = await line.registered(token)
    newest = wire_scripts.Newest(worker, ["a.sh", "b.sh"])
    whole = [wire_scripts.WhichScript(worker, path, 1) for path in ("a.sh", "b.sh")]

    async def told() -> list[list[str]]:
        heads = (await line.post("scripts", newest, token=token)).json()["scripts"]
        texts = [(await line.post("script", one, token=token)).json() for one in whole]
        return [[one["path"] for one in heads], [one["content"] for one in texts if one["head"]]]

    assert await told() == [[], []]
    await line.pulled(token, worker)
    assert await told() == [["a.sh"], ["true"]]
    gone = wire_scripts.WhichScript(worker, "a.sh", 2)
    assert (await line.post("script", gone, token=token)).json()["head"] is None
