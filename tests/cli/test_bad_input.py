"""Bad input ends with one line that says what is wrong and how to mend it; nothing is stored."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from tests.cli.commands import APP, Ended, run_here
from tests.database_fixtures import PostgresServer, fresh_database

USAGE, UNREACHABLE = 2, 4
HELP = "`trioworker {} --help` shows what there is"
SHAPE = "postgresql://user:password@host:5432/name"
BATCHES = "choose --mode agent-batch"
TAG = "x" * 121

BROKEN_MODULES: Mapping[str, str] = {
    "raises_at_import": "import os\n\nos.environ['NO_SUCH_VARIABLE']\n",
    "no_python": "def broken(:\n",
    "leaves_at_import": "import sys\n\nsys.exit(3)\n",
    "lacks_a_module": "import no_such_module\n",
    "has_no_app": "import trioworker\n\ntasks = trioworker.App()\napp = 3\n",
    "takes_no_json": "import trioworker\n\napp = trioworker.App()\n\n\n@app.job\n"
    "async def call(back: type(print)) -> None: ...\n",
}


class Bad(NamedTuple):
    """What is typed, with which variables, and what the line has to say."""

    typed: str
    says: tuple[str, ...]
    variables: Mapping[str, str] = {}
    status: int = USAGE
    stdin: str = ""


def bad(typed: str, *says: str, status: int = USAGE, stdin: str = "", **variables: str) -> Bad:
    """A case; `variables` are those of the environment."""
    return Bad(typed, says, variables, status, stdin)


def unusable(typed: str, at: str, *says: str) -> Bad:
    """A case in which the database `at`, one of the fixture `addresses`, is of no use."""
    return Bad(typed, says, {"DATABASE_URL": at}, UNREACHABLE)


DATABASES = (
    *(
        unusable(typed, "NOBODY_THERE", "Connect call failed", "check DATABASE_URL")
        for typed in ("jobs list", "run --drain", "migrate", "enqueue greet", "bench latency")
    ),
    unusable("workers", "NO_SOCKET", "No such file", "check DATABASE_URL"),
    unusable("workers", "NO_DATABASE", 'database "nowhere" does not exist', "create it"),
    unusable("workers", "NO_USER", 'role "stranger" does not exist', "check user and password"),
    *(
        unusable(typed, "EMPTY", "the database's schema lacks", "run `trioworker migrate` first")
        for typed in ("jobs list", "run --drain", "enqueue greet", "workers")
    ),
    bad("jobs list", "DATABASE_URL will not do", SHAPE, DATABASE_URL="mysql://root@localhost/jobs"),
    bad("run --database-url jobs", "--database-url will not do", SHAPE),
    bad("workers", "the port is not a number", DATABASE_URL="postgresql://me@localhost:five/jobs"),
    bad("jobs list --data-dir FILE/data", "cannot use the data folder", "or set DATABASE_URL"),
    bad("migrate --data-dir /proc/data", "cannot use the data folder", "or set DATABASE_URL"),
    bad("run", "which DATABASE_URL replaces", "drop one of the two", TRIOWORKER_DATA_DIR="/data"),
)
SETTINGS = (
    bad("run --mode turbo", "--mode=turbo", "one of standalone, server, worker, agent"),
    bad("run", "MODE=turbo", "one of standalone, server, worker, agent", MODE="turbo"),
    bad("run --batch-pull-size 5", "-size=5: the mode standalone does not use it", BATCHES),
    bad("run", "BATCH_PULL_SIZE=5: the mode standalone", BATCHES, BATCH_PULL_SIZE="5"),
    bad("run --mode worker", "_SIZE=5: the mode worker", BATCHES, BATCH_COMMIT_SIZE="5"),
    bad("run --commit-fallback bisect", "the mode standalone does not use it", "drop it"),
    bad("run", "BATCH_POLICY=simple: the mode standalone", "drop it", BATCH_POLICY="simple"),
    bad("run --mode agent-batch --batch-pull-size 0", "-size=0", "a whole number from 1"),
    bad("run --concurrency many", "--concurrency=many", "a whole number from 1 to 10000"),
    bad("run --lease-s 5 --heartbeat-s 5", "a lease of 5 s is too short", "more than twice"),
    bad("run --poll-s soon", "--poll-s=soon", "a number of seconds"),
    bad(f"run --tags {TAG}", "a tag of 121 bytes is too long", "at most 120"),
    bad("run --tags urgent=high", "the rank of the tag 'urgent' is 'high'", "from -32768 to 32767"),
    bad("run", "_TAGS=a=1,a=2: the tag 'a' has two ranks", "drop one", TRIOWORKER_TAGS="a=1,a=2"),
    bad("run --schema 'my schema'", "--schema=my schema", "lower-case letters"),
    bad("run --log-level loud", "--log-level=loud", "one of debug, info, warning, error"),
    bad("run", "_STATEMENTS=maybe", "1 or 0", TRIOWORKER_LOG_STATEMENTS="maybe"),
    bad("run --scripts-dir /nowhere", "the scripts folder /nowhere does not exist", "name another"),
)
APPS = (
    bad("run no_such_module:app", "there is no module 'no_such_module' here"),
    bad("enqueue greet --app no_such_module:app", "there is no module"),
    bad("run shop.py", "'shop.py' does not name an app", "write module:attribute"),
    bad("run raises_at_import:app", "KeyError: 'NO_SUCH_VARIABLE'", "raises_at_import.py:3"),
    bad("run no_python:app", "SyntaxError", "no_python.py:1"),
    bad("run leaves_at_import:app", "SystemExit: 3", "leaves_at_import.py:3"),
    bad("run lacks_a_module:app", "No module named 'no_such_module'", "lacks_a_module.py:1"),
    bad("run has_no_app:app", "is of type int, not a trioworker App", "has_no_app:tasks"),
    bad("run has_no_app:main", "has no attribute 'main'", "has_no_app:tasks"),
    bad("run takes_no_json:app", "call", "back"),
)
JOBS = (
    bad(f"enqueue gret --app {APP}", "unknown job 'gret'", "this app has climb, divide, greet"),
    bad(f"""enqueue greet '{{"name": 3}}' --app {APP}""", "expected str, got int"),
    bad(f"enqueue greet --app {APP}", "job 'greet'", "name"),
    bad("enqueue greet {name:", "the arguments are not JSON", "quote them for the shell"),
    bad("enqueue greet 3", "a JSON object (by name) or an array (by position)"),
    bad(r"""enqueue greet '{"name": "\u0000"}'""", "the database refuses the job 'greet'"),
    bad(f"enqueue greet --tag {TAG}", "the tag is too long: 121 bytes, at most 120"),
    bad("enqueue greet --tag ''", "the tag is empty"),
    bad("enqueue ''", "the path is empty"),
    bad("enqueue greet --priority 1001", "priority 1001 is out of range", "from -1000 to 1000"),
    bad("enqueue greet --kind magic", "unknown job kind 'magic'", "one of function, script"),
    bad("enqueue greet --at noon", "--at=noon is not a time", "2030-01-31T08:00"),
    bad("enqueue greet --in -1", "a delay of -1 s", "0 or more"),
    bad("enqueue greet --in 1e18", "leads past all calendars"),
    bad("enqueue greet --at 2030-01-31T08:00 --in 3", "not both", "drop one"),
    bad("enqueue greet --timeout 0", "a timeout of 0 s", "above 0"),
    bad("enqueue greet --dedicated", "only a script can be dedicated", "--kind script"),
    bad("enqueue - --count 2", "--count goes with one job", stdin='{"path": "greet"}'),
    bad("enqueue -", "line 1: this is not JSON", "nothing was enqueued", stdin="{"),
    bad("jobs show 42", "'42' is no job's id", "`trioworker jobs list`"),
    bad("jobs cancel 42", "'42' is no job's id", "`trioworker jobs list`"),
    bad("jobs retry 42", "'42' is no job's id", "`trioworker jobs list`"),
    bad("jobs retry", "which jobs? give their ids, or --all"),
    bad("jobs retry --path f", "which jobs? give their ids, or --all"),
    bad("jobs retry 42 --all", "either the ids of jobs or --all", "not both"),
    bad("jobs retry --all --state success", "in the state 'success' are not retried", "failure or"),
    bad("jobs retry --all --since noon", "--since=noon is not a time", "2030-01-31T08:00"),
    bad("jobs list --state asleep", "there is no state 'asleep'", "one of ready, scheduled"),
    bad("jobs list --limit 0", "a limit of 0 will not do", "from 1 to 10000"),
    bad("workers --limit 0", "a limit of 0 will not do", "from 1 to 10000"),
)
COMMANDS = (
    bad("jog", "no such command 'jog'", "`trioworker --help` shows what there is"),
    bad("jobs lst", "no such command 'lst'", HELP.format("jobs")),
    bad("run --drian", "no such option: --drian", "--drain", HELP.format("run")),
    bad("run --no-such-option", "no such option: --no-such-option", HELP.format("run")),
    bad("enqueue", "missing argument 'PATH'", HELP.format("enqueue")),
    bad("jobs show", "missing argument 'ID'", HELP.format("jobs show")),
    bad("jobs list all", "unexpected extra argument", "all", HELP.format("jobs list")),
    bad("enqueue greet --tag", "--tag", "requires an argument", "`trioworker --help`"),
    bad("enqueue greet --priority high", "'--priority'", "valid integer", HELP.format("enqueue")),
    bad("enqueue greet --count 0", "'--count'", HELP.format("enqueue")),
    bad("jobs wait 42 --timeout soon", "'--timeout'", "valid number", HELP.format("jobs wait")),
    bad("bench speed", "no such command 'speed'", HELP.format("bench")),
    bad("db restart", "no such command 'restart'", HELP.format("db")),
)


@pytest.fixture(scope="module")
def addresses(postgres_server: PostgresServer) -> Iterator[Mapping[str, str]]:
    """Addresses of a real server that are of no use."""
    with fresh_database(postgres_server) as empty:
        yield {
            "EMPTY": empty,
            "NOBODY_THERE": "postgresql://me@127.0.0.1:1/jobs",
            "NO_SOCKET": "postgresql:///jobs?host=/nowhere",
            "NO_DATABASE": postgres_server.url_of("nowhere"),
            "NO_USER": empty.replace("//postgres@", "//stranger@"),
        }


@pytest.fixture
def refused(
    module_url: str,
    addresses: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Bad], Ended]:
    """Runs a case in a folder with modules that will not do, and checks that nothing is stored."""
    for name, text in BROKEN_MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    file = tmp_path / "file"
    file.touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])

    def run(case: Bad) -> Ended:
        variables = {name: addresses.get(v, v) for name, v in case.variables.items()}
        typed = shlex.split(case.typed.replace("FILE", str(file)))
        ended = run_here(*typed, url=module_url, stdin=case.stdin, **variables)
        with psycopg.connect(module_url) as connection:
            assert connection.execute("select id from trioworker.job").fetchall() == []
        return ended

    return run


@pytest.mark.parametrize(
    "case",
    [*DATABASES, *SETTINGS, *APPS, *JOBS, *COMMANDS],
    ids=lambda case: " ".join((*(f"{n}={v}" for n, v in case.variables.items()), case.typed))[:80],
)
def test_bad_input_is_one_line_with_the_mend(refused: Callable[[Bad], Ended], case: Bad) -> None:
    """The line names what is wrong and the mend, the status is the table's, and stdout is empty."""
    ended = refused(case)
    assert ended.status == case.status
    assert ended.output == ""
    assert ended.complaints.startswith("trioworker: ")
    assert ended.complaints.count("\n") == 1
    assert "Traceback" not in ended.complaints
    assert [words for words in case.says if words not in ended.complaints] == [], ended.complaints


def test_a_password_is_not_told(refused: Callable[[Bad], Ended]) -> None:
    """What is wrong with an address is said without what is secret in it."""
    for url in ("mysql://me:s3cret@host/jobs", "postgresql://me:s3cret@127.0.0.1:1/jobs"):
        assert "s3cret" not in refused(bad("jobs list", DATABASE_URL=url)).complaints
