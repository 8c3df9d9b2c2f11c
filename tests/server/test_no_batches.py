"""Batches are in agent-batch mode alone: the same jobs in each mode, and what the logs say of it.

What the logs say of themselves is compared with what the database saw. The table in
docs/pipeline.md is held to both.
"""

import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
import psycopg
import pytest
import trio
from psycopg import sql

from tests.database_fixtures import (
    NEWEST,
    PostgresServer,
    database_name,
    fresh_database,
)
from tests.docs.pages import page
from tests.server.agents import Server
from tests.server.programs import PATIENCE_S, Program, a_server, an_agent, free_port, running
from tests.server.sorts import APP, CHUNK, app, write_scripts
from tests.worker.harness import until
from trioworker import Unique, open_client
from trioworker.events import discard
from trioworker.store.postgres.database import open_database
from trioworker.store.postgres.store import COMMIT, PULL, RUNNING, WORKER_LANES
from trioworker.store.wire import PREFIX

pytestmark = pytest.mark.timeout(4 * PATIENCE_S)  # nine processes, and two processors perhaps
HEAD: Final = ["mode", "`pull`", "`commit`", "`store_running`", "requests of its agents"]
MODES: Final = (
    "standalone", "worker", "server", "agent", "agent-batch", "agent-batch with a server",
)  # fmt: skip
BATCHES: Final = frozenset(MODES[-2:])
CLIMBERS: Final = 3
JOBS: Final[Sequence[Mapping[str, Any]]] = [
    *({"path": "noop", "kind": "noop"} for _ in range(30)),
    *({"path": "identity", "kind": "identity", "args": [n]} for n in range(3)),
    *({"path": "greet", "args": ["you"], "awaited": True} for _ in range(3)),
    *({"path": "add", "args": [n, 1], "labels": ["sum"]} for n in range(3)),
    *({"path": "add", "args": [1, 1], "cache_ttl_s": 60.0} for _ in range(2)),
    *({"path": "add", "args": [2, 2], "limit": 2} for _ in range(3)),
    {"path": "add", "args": [3, 3], "unique": Unique(key="only")},
    *({"path": "add_each", "args": {"a": n, "b": 1}} for n in range(CHUNK)),
    *({"path": "mark", "args": ["mine"], "delete_after_s": 3_600.0} for _ in range(3)),
    *({"path": "fail_at_first"} for _ in range(3)),
    *({"path": "greet", "args": ["me"], "on_success": "praise"} for _ in range(2)),
    *({"path": "shout.sh", "args": {}, "kind": "script"} for _ in range(2)),
    *({"path": "double.py", "args": [n], "kind": "script", "dedicated": True} for n in range(3)),
]
HANDLERS: Final = 2
ENDS: Final = len(JOBS) + HANDLERS + CLIMBERS
STORED: Final = ("job_completed", "job_attempt", "job_log", "job_label", "expiry")
NOTE_CLAIMS: Final = """
create table public.claimed (jobs integer);
create function public.note_claim() returns trigger language plpgsql as
  'begin insert into public.claimed values (cardinality(new.ids)); return null; end';
create trigger note_claim after insert on trioworker.claim
  for each row execute function public.note_claim();
"""


@dataclass(frozen=True)
class Run:
    """What one mode's processes did: `most` jobs of a statement, by its name, by their own log.

    `names` are all statements about jobs, `requests` those of agents. `claimed` and `stored` are
    the most jobs of one claim, and of one transaction in each table, as the database saw it.
    """

    most: Mapping[str, int]
    names: AbstractSet[str]
    requests: AbstractSet[str]
    claimed: int
    stored: Mapping[str, int]

    def row(self, mode: str) -> list[str]:
        """As the table has it."""
        asked = ", ".join(f"`{path}`" for path in sorted(self.requests))
        return [
            mode,
            *(_in_words(self.most.get(name.strip("`"), 0)) for name in HEAD[1:4]),
            asked or "none",
        ]


@pytest.fixture(scope="module")
def runs(
    postgres_server: PostgresServer,
    migrated_template_of: Callable[[int], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Run]]:
    """All modes at once, each with a database of its own."""
    scripts = write_scripts(tmp_path_factory.mktemp("scripts"))
    with ExitStack() as stack:
        template = migrated_template_of(NEWEST)
        urls = {
            mode: stack.enter_context(fresh_database(postgres_server, template)) for mode in MODES
        }
        yield trio.run(_run_all, urls, scripts)


def test_no_statement_is_for_more_than_one_job(runs: Mapping[str, Run]) -> None:
    """Neither by the log nor by the rows; in agent-batch both are."""
    for mode, run in runs.items():
        most = max([0, *run.most.values()])
        assert (most > 1) == (mode in BATCHES), (mode, run)
        assert (run.claimed > 1) == (mode in BATCHES), (mode, run)
        assert (max(run.stored.values()) > 1) == (mode in BATCHES), (mode, run)


def test_no_statement_is_of_batches_alone(runs: Mapping[str, Run]) -> None:
    """All that batches run is run for single jobs, too; a server without agents runs none of it."""
    of_batches = set[str]().union(*(run.names for mode, run in runs.items() if mode in BATCHES))
    of_others = set[str]().union(*(run.names for mode, run in runs.items() if mode not in BATCHES))
    assert of_batches == of_others
    assert runs["server"].most == {}


def test_the_table_in_the_docs_is_true(runs: Mapping[str, Run]) -> None:
    """Row by row."""
    (table,) = [found for found in page("docs/pipeline.md").tables if found.head == HEAD]
    assert [[*row] for row in table.rows] == [run.row(f"`{mode}`") for mode, run in runs.items()]


async def _run_all(urls: Mapping[str, str], scripts: Path) -> Mapping[str, Run]:
    done: dict[str, Run] = {}
    async with trio.open_nursery() as nursery:
        for mode, url in urls.items():
            nursery.start_soon(_run, mode, url, scripts, done)
    return {mode: done[mode] for mode in MODES}


async def _run(mode: str, url: str, scripts: Path, done: dict[str, Run]) -> None:
    with psycopg.connect(url) as observer:
        observer.execute(NOTE_CLAIMS)
    if mode != "server":
        await _enqueue(url, scripts)
    programs = await _programs(mode, url, scripts)
    async with running() as nursery:
        for program in programs:
            await nursery.start(program.run)
            if program is programs[0] and mode not in {"worker", "agent-batch"}:
                await program.until_said("server listening")
        await (_ask(programs[0]) if mode == "server" else _until_all_ended(url, scripts))
        for program in reversed(programs):
            program.signal(signal.SIGTERM)
            assert await program.ended() == 0, program.said
    done[mode] = _seen(url, programs)


async def _programs(mode: str, url: str, scripts: Path) -> Sequence[Program]:
    """The process that has the database, and if there is one the agent before it."""
    flags = (APP, "--log-flush-s", "0.1", "--scripts-dir", str(scripts))
    if mode in {"worker", "agent-batch"}:
        return [Program("run", *flags, "--log-statements", MODE=mode, DATABASE_URL=url)]
    if mode == "standalone":
        more = ("--log-statements", "--listen", "127.0.0.1:0")
        return [Program("run", *flags, *more, MODE=mode, DATABASE_URL=url)]
    port = free_port()
    server = a_server(url, port, APP, "--log-statements", "--log-level", "debug")
    if mode == "server":
        return [server]
    async with open_database(url, WORKER_LANES, emit=discard) as database:
        token = await Server("", database, []).token()
    patient = ("--lease-s", "30", "--heartbeat-s", "5")
    agent = an_agent(port, token, *flags, *patient, mode=mode.partition(" ")[0])
    return [server, agent]


async def _enqueue(url: str, scripts: Path) -> None:
    async with open_client(url, app=app) as client:
        for job in JOBS:
            await client.enqueue(**job)
        for _ in range(CLIMBERS):
            await client.enqueue("climb", [str(_file(url, scripts))])


def _file(url: str, scripts: Path) -> Path:
    """What those who climb in this database wait for."""
    return scripts / database_name(url)


async def _ask(server: Program) -> None:
    """The same jobs over HTTP, one by one; nobody runs them."""
    line = next(line for line in _lines(server) if line["event"] == "server listening")
    async with httpx.AsyncClient(base_url=line["address"], timeout=PATIENCE_S) as client:
        for job in JOBS:
            said = await client.post("/api/jobs", json=msgspec.to_builtins(job))
            assert said.status_code == 201, said.text


async def _until_all_ended(url: str, scripts: Path) -> None:
    """And not before those who climb have said more than once that they do, side by side."""
    with psycopg.connect(url, autocommit=True) as observer:

        def count(of: str) -> int:
            row = observer.execute(of).fetchone()
            assert row is not None
            return int(row[0])

        told = "select count(*) from trioworker.job_log join trioworker.job using (id)"
        twice = f"{told} where path = 'climb' and chunk > 1"
        await until(lambda: count(twice) >= CLIMBERS, within_s=PATIENCE_S)
        await trio.Path(_file(url, scripts)).touch()
        ended = "select count(*) from trioworker.job_completed where status = 'success'"
        await until(lambda: count(ended) == ENDS, within_s=PATIENCE_S)


def _seen(url: str, programs: Sequence[Program]) -> Run:
    most: Counter[str] = Counter()
    names, requests = set[str](), set[str]()
    for line in (line for program in programs for line in _lines(program)):
        if line["event"] == "statement":
            if line["jobs"]:
                most[line["name"]] = max(most[line["name"]], line["jobs"])
            if line["lane"] in {PULL, COMMIT, RUNNING}:
                names.add(line["name"])
        elif line["event"] == "request served":
            path = line["route"].removeprefix(PREFIX)
            if path.endswith(("pull", "commit")):
                requests.add(path)
    with psycopg.connect(url) as observer:
        claimed = observer.execute("select coalesce(max(jobs), 0) from public.claimed").fetchone()
        assert claimed is not None
        stored = {table: _most_at_once(observer, table) for table in STORED}
    return Run(dict(most), names, requests, claimed[0], stored)


def _most_at_once(observer: "psycopg.Connection[Any]", table: str) -> int:
    """Of how many jobs a single transaction has put rows into a table."""
    rows = sql.SQL("select count(distinct id) as jobs from trioworker.{} group by xmin::text")
    most = sql.SQL("select coalesce(max(jobs), 0) from ({}) as one")
    row = observer.execute(most.format(rows.format(sql.Identifier(table)))).fetchone()
    assert row is not None
    return int(row[0])


def _lines(program: Program) -> Iterator[Mapping[str, Any]]:
    for line in program.said.splitlines():
        if line.startswith("{"):
            yield msgspec.json.decode(line)


def _in_words(most: int) -> str:
    if most == 0:
        return "none"
    return "one job" if most == 1 else "many"
