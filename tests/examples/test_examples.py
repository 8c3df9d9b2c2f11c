"""Every example does what its README says: the blocks in it are run, and their jobs looked at."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
README: Final = EXAMPLES / "README.md"
FRONT_PAGE: Final = EXAMPLES.parent / "README.md"
SECTION: Final = re.compile(r"^## (\S+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK: Final = re.compile(r"```sh\n(.*?)```", re.DOTALL)
PATIENCE_S: Final = 60


def blocks() -> Mapping[str, str]:
    """The commands of each section of the README, by the file that it is about."""
    sections = SECTION.findall(README.read_text("utf-8"))
    return {file: "".join(BLOCK.findall(text)) for file, text in sections}


def files() -> set[str]:
    """The examples that there are."""
    return {
        file.relative_to(EXAMPLES).as_posix()
        for file in EXAMPLES.rglob("*")
        if file.is_file() and file != README and "__pycache__" not in file.parts
    }


TESTED: Final = {
    "hello.py", "flavours.py", "enqueue_in_transaction.py", "web_app.py",
    "bulk_http.py", "bulk_insert.py", "month_end.py",
    "order_fulfilment.py", "image_batch.py", "nightly_etl.py",
    "scripts/slug.py", "scripts/statistics.mjs", "scripts/machine.sh",
}  # fmt: skip


def test_every_example_is_explained_and_run() -> None:
    """A new example needs a section in the README and a test in this file."""
    assert set(blocks()) == files() == TESTED


class Reader:
    """Somebody who follows the README in a copy of the folder."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url = url
        self._folder = folder
        scripts = Path(sys.executable).parent
        self._environment = {k: v for k, v in os.environ.items() if k != "MODE"}
        self._environment["PATH"] = f"{scripts}{os.pathsep}{os.environ['PATH']}"

    def run(self, file: str) -> str:
        """Run the block of this example; returns what it printed."""
        with self.following(blocks()[file]) as shell:
            output, errors = shell.communicate(timeout=PATIENCE_S)
        assert shell.returncode == 0, output + errors
        assert "Traceback" not in errors, errors
        return output

    @contextmanager
    def following(self, block: str) -> "Iterator[subprocess.Popen[str]]":
        """A shell that runs the block; nothing that it began outlives the context."""
        shell = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", f"{block}\nwait"],
            cwd=self._folder,
            env=self._environment | {"DATABASE_URL": self.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield shell
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.communicate()

    def jobs(self) -> list[tuple[Any, ...]]:
        """Path, status and result of the jobs that have ended, in the order of their ids."""
        with psycopg.connect(self.url) as connection:
            return connection.execute(
                "select path, status, result from trioworker.job_completed"
                " join trioworker.job using (id) order by id"
            ).fetchall()


@pytest.fixture
def reader(tmp_path: Path, database_url: str) -> Reader:
    """A reader with a database and the folder of the examples."""
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Reader(folder, database_url)


def test_hello(reader: Reader) -> None:
    """The first job of all."""
    assert "greet" in reader.run("hello.py")
    assert reader.jobs() == [("greet", "success", "Hello, world!")]


def test_hello_is_the_one_on_the_front_page() -> None:
    """What a reader has seen in the README of the project is here, line by line."""
    block = re.search(r"```python\n# hello\.py\n(.*?)```", FRONT_PAGE.read_text("utf-8"), re.DOTALL)
    assert block is not None
    shown = [line for line in block[1].splitlines() if line]
    here = (EXAMPLES / "hello.py").read_text("utf-8").splitlines()
    assert [line for line in here if line in shown] == shown


def test_flavours(reader: Reader) -> None:
    """Each flavour has its result, and the verdicts are followed."""
    lines = set(reader.run("flavours.py").splitlines())
    assert lines >= {
        "on_trio: 100 naps at once",
        "on_asyncio: 100 naps at once",
        "in_a_process: 1229",
        "lucky_at_last: lucky at attempt 3",
        "not_before: attempt 1, and it is time",
        "give_up: canceled, there was nothing to do",
    }
    logs = [line.partition(" of job ")[0] for line in lines if " of job " in line]
    assert sorted(logs) == [f"lucky_at_last: log {n}: attempt {n}" for n in (1, 2, 3)]


def test_enqueue_in_transaction(reader: Reader) -> None:
    """Two orders, two jobs; the third order was never placed and its job never asked for."""
    output = reader.run("enqueue_in_transaction.py")
    assert "rolled back: nothing is not for sale" in output
    orders = {"a lamp", "a chair"}
    with psycopg.connect(reader.url) as connection:
        assert {row[0] for row in connection.execute("select item from orders")} == orders
    assert [(path, status) for path, status, _ in reader.jobs()] == [("confirm", "success")] * 2
    assert {result.split(", ")[1] for _, _, result in reader.jobs()} == orders


def test_web_app(reader: Reader) -> None:
    """A page is a job's result, and one that cannot be is told in a line."""
    block = blocks()["web_app.py"].replace("8080", str(free_port()))
    with reader.following(block) as shell:
        assert shell.stdout is not None
        address = next(line.split()[-1] for line in shell.stdout if "http://" in line)
        assert page(address) == (200, "Hello, world!\n")
        assert page(address.replace("world", "w%C3%B6rld")) == (200, "Hello, wörld!\n")
        assert page(address.replace("greet/world", "")) == (404, "try /greet/world\n")
        status, text = page(address.replace("world", "%00"))
    assert (status, text.count("\n")) == (400, 1)
    assert "the database refuses the job 'greet'" in text


def test_bulk_http(reader: Reader) -> None:
    """A hundred jobs, far fewer requests; one is refused and costs the others nothing."""
    block = blocks()["bulk_http.py"].replace("8090", str(free_port()))
    with reader.following(block) as shell:
        output, errors = shell.communicate(timeout=PATIENCE_S)
    assert shell.returncode == 0, output + errors
    assert "99 mails sent, refused: nobody is no address\n" in output
    requests = int(re.findall(r"(\d+) requests for 100 jobs", output)[0])
    assert 2 <= requests < 100
    ended = [(status, result) for _, status, result in reader.jobs()]
    assert ended[:2] == [("failure", None), ("success", "to reader0@example.org")]


def test_bulk_insert(reader: Reader) -> None:
    """A thousand jobs, each with its row, in far fewer transactions."""
    output = reader.run("bulk_insert.py")
    assert "1000 readings to be stored\n" in output
    assert "999 readings are stored\n" in output
    transactions = int(re.findall(r"in (\d+) transactions", output)[0])
    assert 10 <= transactions < 999
    statuses = [status for _, status, _ in reader.jobs()]
    assert (statuses.count("success"), statuses.count("failure")) == (999, 1)


def test_month_end(reader: Reader) -> None:
    """One slot is enough for a parent and its children; one that fails costs the others nothing."""
    output = reader.run("month_end.py")
    assert "'total': 1000" in output
    assert "'missing': 1" in output
    ended = sorted((path, status) for path, status, _ in reader.jobs())
    assert ended == [
        ("close", "failure"), ("close", "success"), ("close", "success"), ("month_end", "success"),
    ]  # fmt: skip


def test_order_fulfilment(reader: Reader) -> None:
    """The dear order waits for a signature, and is charged, packed and sent after it."""
    output = reader.run("order_fulfilment.py")
    assert "an order of eve" in output
    ended = {path: (status, result) for path, status, result in reader.jobs()}
    assert ended["charge"] == ("success", "eve paid 620.00")
    assert ended["orders/fulfil"] == ("success", "2 x lamp, 4 x bulb to eve")


def test_image_batch(reader: Reader) -> None:
    """Forty pictures are half as wide, the broken one failed, and the flow went on."""
    output = reader.run("image_batch.py")
    assert "40 of 41 pictures were made smaller" in output
    failed = [path for path, status, _ in reader.jobs() if status == "failure"]
    assert failed == ["halve"]


def test_nightly_etl(reader: Reader) -> None:
    """The source answered at the second attempt, and each reading was stored once."""
    assert "24 readings are stored" in reader.run("nightly_etl.py")
    assert ("etl/nightly", "success", 24) in reader.jobs()


@pytest.mark.parametrize(
    "program",
    ["flavours.py", "enqueue_in_transaction.py", "web_app.py", "bulk_http.py", "bulk_insert.py"],
)
def test_without_our_schema_each_program_says_what_to_do(
    program: str, reader: Reader, empty_database_url: str
) -> None:
    """A reader who left out the first step gets a line and no traceback."""
    reader.url = empty_database_url
    with reader.following(f"python {program} 0") as shell:
        output, errors = shell.communicate(timeout=PATIENCE_S)
    assert (shell.returncode, output) == (1, "")
    assert "run `trioworker migrate`" in errors
    assert "Traceback" not in errors


def page(address: str) -> tuple[int, str]:
    """The status and the text of a page."""
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as response:  # noqa: S310 - ours
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_dedicated_python(reader: Reader) -> None:
    """A hundred jobs through one process."""
    reader.run("scripts/slug.py")
    assert reader.jobs() == [("slug.py", "success", "hello-world")] * 100


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_dedicated_node(reader: Reader) -> None:
    """The same in another language."""
    reader.run("scripts/statistics.mjs")
    assert reader.jobs() == [("statistics.mjs", "success", {"count": 3, "mean": 2, "max": 3})]


def test_bash(reader: Reader) -> None:
    """A script of the oldest sort."""
    reader.run("scripts/machine.sh")
    ((path, status, result),) = reader.jobs()
    assert (path, status) == ("machine.sh", "success")
    assert result == {"asked": {"why": "curious"}, "system": os.uname().sysname, "attempt": 1}
