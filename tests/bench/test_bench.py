"""Every benchmark, at sizes that say nothing about speed and everything about what it promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from typer.testing import CliRunner, Result

from tests.database_fixtures import PostgresServer
from trioworker.bench import agents, backlog, dedicated, fallback, flows, hooks, limit, modes
from trioworker.bench.command import bench_app
from trioworker.bench.hooks import HOOKS, NONE
from trioworker.bench.rig import open_server

HOOK_FIGURES: Final = {
    f"{hook}_{figure}"
    for hook in HOOKS.keys() - {NONE}
    for figure in ("over_none", "over_per_job", "jobs_per_s", "per_job_jobs_per_s")
}
TINY: Final = {
    "limit": (["--jobs", "400", "--batch", "50"], {"ratio", "jobs_per_s", "server_jobs_per_s"}),
    "modes": (["--jobs", "400"], {"ratio", "noop_ratio", "jobs_per_s", "per_job_jobs_per_s"}),
    "dedicated": (
        ["--jobs", "200"],
        {"python_ratio", "python_worker_jobs_per_s", "python_end_to_end_jobs_per_s"},
    ),
    "sql": (["--jobs", "100"], {"pull_ratio", "write_ratio", "pull_batch_ms", "write_single_ms"}),
    "backlog": (
        ["--jobs", "3000"],
        {"worst_over_best", "shallow_ms", "middle_ms", "deep_ms", "other_ms", "held_ms"},
    ),
    "latency": (["--jobs", "5"], {"p50_ms", "p99_ms"}),
    "hooks": (["--jobs", "60"], {"worst_over_none", "worst_over_per_job", *HOOK_FIGURES}),
    "flows": (
        ["--jobs", "400"],
        {"ratio", "sequence_ratio", "loop_ratio", "sequence_steps_per_s", "loop_steps_per_s"},
    ),
    "agents": (
        ["--jobs", "500"],
        {"over_sql", "over_sql_100", "over_agent", "http_500_jobs_per_s", "script_500_jobs_per_s"},
    ),
    "fallback": (
        ["--jobs", "20"],
        {"clean_s", "per_job_s", "bisect_s", "many_per_job_s", "many_bisect_s"},
    ),
}
VERSIONS: Final = {"trioworker", "python", "postgresql", "trio", "asyncpg", "node", "cores"}


@pytest.fixture(autouse=True)
def address(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Benchmarks find their server as users' do; nothing of theirs stays behind."""
    monkeypatch.setenv("DATABASE_URL", postgres_server.url)
    yield
    assert left_behind(postgres_server) == []


@pytest.fixture(autouse=True)
def _rounds_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """They make figures steady, which these need not be: two have all that more of them have."""
    for bench in (agents, backlog, dedicated, fallback, flows, hooks, limit, modes):
        monkeypatch.setattr(bench, "ROUNDS", 2)


def left_behind(server: PostgresServer) -> list[tuple[Any, ...]]:
    """The databases of benchmarks, and our schema in the database that DATABASE_URL names."""
    with psycopg.connect(server.url) as connection:
        return connection.execute(
            "select datname from pg_database where datname like 'trioworker_bench%'"
            " union all select nspname from pg_namespace where nspname = 'trioworker'"
        ).fetchall()


def bench(*arguments: str) -> Result:
    """Run `trioworker bench` with `arguments`."""
    result = CliRunner().invoke(bench_app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.mark.parametrize("name", TINY)
def test_json_has_a_number_for_every_figure(name: str) -> None:
    """With --json the last line is one object with all figures, the sizes and the versions."""
    sizes, required = TINY[name]
    answer = msgspec.json.decode(bench(name, *sizes, "--json").stdout.splitlines()[-1])
    assert answer["bench"] == name
    assert answer["versions"].keys() == VERSIONS
    assert answer[{"sql": "rounds", "flows": "steps"}.get(name, "jobs")] >= 1
    assert {key for key in required if not isinstance(answer.get(key), float | int)} == set()
    assert [key for key in required if not answer[key] > 0] == []


def test_what_cannot_be_measured_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without node the figures of node are null, and those of python are there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = msgspec.json.decode(bench("dedicated", "--jobs", "100", "--json").stdout)
    assert answer["python_ratio"] > 0
    assert answer["node_ratio"] is None
    assert answer["node_end_to_end_jobs_per_s"] is None
    assert answer["versions"]["node"] is None


def test_a_table_by_default() -> None:
    """People get a sentence on what was measured, a table, and the versions."""
    shown = bench("sql", "--jobs", "100").stdout
    assert "one by one" in shown
    assert "pull 100, as a batch" in shown
    assert "postgresql 18" in shown


def test_an_unknown_name_is_a_usage_error() -> None:
    """A name that no benchmark has ends with status 2 and says so."""
    result = bench("speed")
    assert result.exit_code == 2
    assert "No such command 'speed'" in result.output


async def test_its_database_goes_with_a_failure(postgres_server: PostgresServer) -> None:
    """A measurement that fails leaves no database behind."""
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True, allow_unwrapped=True):
        async with open_server(postgres_server.url, None) as server, server.rig() as rig:
            await rig.refill(10)
            assert left_behind(postgres_server) != []
            _ = 1 / 0
    assert left_behind(postgres_server) == []
