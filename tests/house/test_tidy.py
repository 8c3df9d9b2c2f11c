"""The house rules hold, and each of them is seen to fail on a planted violation."""

import tomllib

import pytest

from tests.house import tidy
from tests.house.sqlshape import is_sql
from tests.house.tidy import ROOT, Source

WORKER = "src/trioworker/worker/planted.py"
MODEL = "src/trioworker/model/planted.py"
CLI = "src/trioworker/cli/planted.py"
TEST = "tests/worker/test_planted.py"
QUERY = "src/trioworker/store/postgres/queries/planted.sql"
HEADER = "-- name: planted\n-- rows: none\n-- does: nothing\n-- locks: none\n"


def test_the_house_is_tidy() -> None:
    """No file of the repository breaks a house rule."""
    assert "\n".join(map(str, tidy.violations(tidy.read_tree()))) == ""


def test_every_tree_with_code_is_read() -> None:
    """The checker does look at the product, the tests and the documents."""
    trees = {source.path.split("/")[0] for source in tidy.read_tree()}

    assert {"src", "tests", "docs", "pyproject.toml", "Makefile"} <= trees


@pytest.mark.parametrize(
    ("path", "code", "rule"),
    [
        (WORKER, "x = 1\n" * 401, "file-length"),
        (WORKER, "def f():\n" + "    x = 1\n" * 50, "function-length"),
        (TEST, "async def f():\n" + "    x = 1\n" * 60, "function-length"),
        (WORKER, "import time\ntime.time()", "wall-clock"),
        (WORKER, "from time import time_ns as clock\nf(default=clock)", "wall-clock"),
        (CLI, "import datetime as d\nd.datetime.now(d.UTC)", "wall-clock"),
        ("sim/planted.py", "from datetime import datetime\ndatetime.utcnow()", "wall-clock"),
        (WORKER, "import time\nstart = time.monotonic()", "own-clock"),
        (MODEL, "from time import perf_counter\nperf_counter()", "own-clock"),
        (WORKER, "import random\nrandom.random()", "global-random"),
        (TEST, "from random import choice\nchoice([1])", "global-random"),
        (WORKER, "import uuid\nuuid.uuid4()", "unseeded-id"),
        (CLI, "from uuid import uuid1\nf(default_factory=uuid1)", "unseeded-id"),
        (WORKER, "x = 1  # " + "noqa: E501", "unexplained-ignore"),
        (WORKER, "x = 1  # " + "type: ignore[assignment]", "unexplained-ignore"),
        (CLI, "f(f'select * from {table}')", "built-sql"),
        (CLI, "f('delete from %s where id = 1' % table)", "built-sql"),
        (CLI, "f('truncate {}.job'.format(schema))", "built-sql"),
        (CLI, "f('with taken as (select 1) ' + rest + tail)", "built-sql"),
        (WORKER, "QUERY = 'update job set x = 1'", "sql-literal"),
        (WORKER, "QUERY = '''\n  -- why\n  insert into job values (1)'''", "sql-literal"),
        (QUERY, "select 1;\n", "sql-header"),
        (QUERY, HEADER.replace("rows: none", "rows: some") + "select 1;\n", "sql-header"),
        (QUERY, HEADER, "sql-header"),
        (QUERY, HEADER + "select 1;\nselect 2;\n", "sql-header"),
        ("docs/planted.md", "TO" + "DO: write this\n", "leftover"),
        ("docs/planted.md", "see `/ho" + "me/me/notes`\n", "machine-path"),
        (".ci/planted", "pip install --index" + "-url somewhere\n", "registry-host"),
    ],
)
def test_a_planted_violation_is_found(path: str, code: str, rule: str) -> None:
    """Code that breaks a rule is reported under that rule, and under no other."""
    text = f'"""Planted."""\n{code}' if path.endswith(".py") else code

    found = tidy.violations([Source(path, text)])

    assert {f"{v.path}: {v.rule}" for v in found} == {f"{path}: {rule}"}


def test_a_source_file_without_docstring_is_found() -> None:
    """A file of the product that does not say what it is for is refused."""
    found = tidy.violations([Source(WORKER, "x = 1\n")])

    assert [str(v).split(": ")[:2] for v in found] == [[f"{WORKER}:1", "module-docstring"]]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (WORKER, "def f():\n    '''" + "Long.\n" * 60 + "'''\n" + "    x = 1\n" * 48),
        (WORKER, "import random\nrng = random.Random(1)\nrng.random()\n"),
        (WORKER, "import uuid\ndef f(id: uuid.UUID, time: float): time.time()\n"),
        (WORKER, "def f():\n    'select id from job, says this docstring'\n"),
        (tidy.IDS, "import os, time\nf(time.time_ns(), os.urandom(8))\n"),
        ("src/trioworker/bench/x.py", "import time\ntime.perf_counter()\n"),
        (WORKER, "x = 1  # noqa: E501 - a reason\n"),
        (QUERY, HEADER + "select ';' -- ; \nfrom job;\n\n" + HEADER + "select $$;$$\n"),
        ("docs/x.md", "~/work/x, src/work/x, https://host/home/x, TODOS\n"),
    ],
)
def test_what_only_resembles_a_violation_passes(path: str, code: str) -> None:
    """The rules leave lawful code alone, so that nobody has to write around them."""
    text = f'"""Lawful."""\n{code}' if path.endswith(".py") else code

    assert tidy.violations([Source(path, text)]) == []


@pytest.mark.parametrize(
    "prose",
    [
        "select one of the jobs",
        "update the schema with `trioworker migrate`",
        "with a database, set DATABASE_URL",
        "insert the worker id",
        "delete {} and try again",
        "create the data folder {} first",
        "listen on this address",
        "commit",
    ],
)
def test_messages_are_not_taken_for_sql(prose: str) -> None:
    """A message to a user may begin with a word that statements begin with, too."""
    assert not is_sql(prose)


def test_every_ignored_lint_rule_has_its_reason() -> None:
    """Who reads pyproject.toml learns why a rule is off."""
    text = (ROOT / "pyproject.toml").read_text()
    lint = tomllib.loads(text)["tool"]["ruff"]["lint"]
    off = {
        *lint["ignore"],
        *(rule for rules in lint["per-file-ignores"].values() for rule in rules),
    }
    explained = {line.split('"')[1] for line in text.splitlines() if '",' in line and " # " in line}

    assert off - explained == set()
    assert lint["select"] == ["ALL"]
