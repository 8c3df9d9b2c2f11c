"""The embedded PostgreSQL with real processes: started, shared, killed, found again, let go."""

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import psycopg
import pytest
import trio

from tests.store.postgres.user_process import UserProcess, as_plain_user, open_folder
from trioworker.errors import ServerUnavailable
from trioworker.store.postgres import embedded
from trioworker.store.postgres.embedded_programs import (
    MODULE,
    bundled_programs,
    reachable_programs,
    run_program,
    server_user,
)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that does not exist yet, in one that is closed to all others."""
    parent = Path(tempfile.mkdtemp(prefix="tw-"))
    yield parent / "data"
    trio.run(embedded.stop, parent / "data")
    shutil.rmtree(parent)


@pytest.fixture
def neighbour() -> Iterator[Callable[[Path], int]]:
    """`neighbour(file)`: the id of a new process of that file's owner."""
    with ExitStack() as stack:

        def start(file: Path) -> int:
            owner = None if os.geteuid() else file.stat().st_uid
            process = stack.enter_context(subprocess.Popen(["sleep", "60"], user=owner))
            stack.callback(process.kill)
            return process.pid

        yield start


def postmaster(data_dir: Path) -> int | None:
    """The server's process id, None when it does not run."""
    return embedded.status(data_dir).pid


def half_made(data_dir: Path) -> list[Path]:
    """The clusters that are being made, or were when somebody was killed."""
    return list(data_dir.glob("initdb-*"))


def permissions(folder: Path) -> str:
    """As `ls` shows them."""
    return stat.filemode(folder.stat().st_mode)


def answer(url: str, question: str) -> object:
    """The one value that `question` has in the database at `url`."""
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(question.encode()).fetchone()
    assert row
    return row[0]


# ---- starting and stopping --------------------------------------------------------------------


async def test_first_start_gives_a_database_of_that_name(data_dir: Path) -> None:
    """A folder that does not exist becomes a running server with the database trioworker."""
    async with embedded.open_embedded(data_dir) as server:
        assert answer(server.url, "select current_database()") == "trioworker"
        assert answer(server.url, "show fsync") == "on"
        assert answer(server.url, "show listen_addresses") == ""
        assert server.version == 18


async def test_warm_start_finds_the_data(data_dir: Path) -> None:
    """What was stored before the server stopped is there when it is started again."""
    async with embedded.open_embedded(data_dir) as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("create table kept as select 17 as n")
    assert postmaster(data_dir) is None
    async with embedded.open_embedded(data_dir) as server:
        assert answer(server.url, "select n from kept") == 17


async def test_one_url_serves_both_drivers(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both asyncpg and libpq connect by the url, whatever PGPORT and PGHOST say."""
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGHOST", "nowhere.invalid")

    async def ask_asyncpg(url: str) -> object:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchval("select 1")
        finally:
            await connection.close()

    async with embedded.open_embedded(data_dir) as server:
        assert answer(server.url, "select 1") == 1
        assert await trio.to_thread.run_sync(asyncio.run, ask_asyncpg(server.url)) == 1


async def test_a_dropped_database_is_made_again(data_dir: Path) -> None:
    """Dropping the database is a way to begin anew, not to break the folder."""
    async with embedded.open_embedded(data_dir) as server:
        elsewhere = server.url.replace("/trioworker?", "/postgres?")
        with psycopg.connect(elsewhere, autocommit=True) as connection:
            connection.execute("drop database trioworker")
        async with embedded.open_embedded(data_dir) as again:
            assert answer(again.url, "select current_database()") == "trioworker"


async def test_version_16_can_be_asked_for(data_dir: Path) -> None:
    """The older bundled PostgreSQL works the same."""
    async with embedded.open_embedded(data_dir, postgres_version=16) as server:
        assert str(answer(server.url, "show server_version")).startswith("16.")


async def test_a_cancelled_start_leaves_nothing_running(data_dir: Path) -> None:
    """Who is cancelled during the first start leaves no server and a usable folder."""
    for delay_s in (0.1, 0.3, 0.5):
        with trio.move_on_after(delay_s):
            async with embedded.open_embedded(data_dir):
                pass
        assert postmaster(data_dir) is None
        assert embedded.status(data_dir).users == ()
    async with embedded.open_embedded(data_dir) as server:
        assert answer(server.url, "select 1") == 1
    assert half_made(data_dir) == []


# ---- sharing ----------------------------------------------------------------------------------


def test_processes_that_start_together_share_one_server(data_dir: Path) -> None:
    """Of three processes that begin in a new folder one makes the server and all use it."""
    with UserProcess(data_dir) as a, UserProcess(data_dir) as b, UserProcess(data_dir) as c:
        assert len({a.joined(), b.joined(), c.joined()}) == 1
        assert embedded.status(data_dir).users == tuple(sorted((a.pid, b.pid, c.pid)))
        server = postmaster(data_dir)
        a.leave()
        b.leave()
        assert postmaster(data_dir) == server
        c.leave()
    assert postmaster(data_dir) is None


def test_the_server_outlives_its_killed_starter(data_dir: Path) -> None:
    """After kill -9 of the starter others go on, newcomers find it, and the last one stops it."""
    with UserProcess(data_dir) as starter, UserProcess(data_dir) as other:
        starter.joined()
        url = other.joined()
        server = postmaster(data_dir)
        with psycopg.connect(url) as connection:
            starter.kill()
            assert connection.execute("select 1").fetchone() == (1,)
        with UserProcess(data_dir) as newcomer:
            newcomer.joined()
            assert postmaster(data_dir) == server
            other.leave()
            assert embedded.status(data_dir).users == (newcomer.pid,)
            newcomer.leave()
    assert postmaster(data_dir) is None


async def test_a_server_whose_users_were_all_killed_is_adopted(data_dir: Path) -> None:
    """With nobody left to stop it the server stays up; the next user takes it over and stops it."""
    with UserProcess(data_dir) as only:
        only.joined()
        server = postmaster(data_dir)
        only.kill()
    assert embedded.status(data_dir).users == ()
    async with embedded.open_embedded(data_dir):
        assert postmaster(data_dir) == server
    assert postmaster(data_dir) is None


def test_ctrl_c_does_not_reach_the_server(data_dir: Path) -> None:
    """SIGINT to the foreground group ends the process that started the server, not the server."""
    with UserProcess(data_dir) as starter, UserProcess(data_dir) as other:
        starter.joined()
        with psycopg.connect(other.joined()) as connection:
            starter.interrupt_group()
            assert connection.execute("select 1").fetchone() == (1,)
            assert embedded.status(data_dir).users == (other.pid,)


async def test_a_kept_server_needs_no_user(data_dir: Path) -> None:
    """Between `start` and `stop` users come and go and the server stays."""
    await embedded.start(data_dir)
    server = postmaster(data_dir)
    async with embedded.open_embedded(data_dir):
        pass
    assert postmaster(data_dir) == server
    assert (await embedded.stop(data_dir)).kept
    assert postmaster(data_dir) is None
    assert not embedded.status(data_dir).kept


async def test_stop_does_not_wait_for_users(data_dir: Path) -> None:
    """`stop` says whom it cut off; they find the server again by the same url."""
    async with embedded.open_embedded(data_dir) as server:
        assert (await embedded.stop(data_dir)).users == (os.getpid(),)
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url)
        await embedded.start(data_dir)
        assert answer(server.url, "select 1") == 1


# ---- after crashes ----------------------------------------------------------------------------


async def test_a_killed_server_is_started_again(data_dir: Path) -> None:
    """A kill -9 of the server itself costs the next user nothing but PostgreSQL's recovery."""
    async with embedded.open_embedded(data_dir) as server:
        killed = postmaster(data_dir)
        assert killed
        with psycopg.connect(server.url, autocommit=True) as connection:
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(psycopg.OperationalError):
                next(connection.notifies())  # waits until the line is dead
        async with embedded.open_embedded(data_dir):
            assert answer(server.url, "select 1") == 1
            assert postmaster(data_dir) != killed


async def test_a_reused_process_id_is_not_taken_for_the_server(
    data_dir: Path, neighbour: Callable[[Path], int]
) -> None:
    """Lock files from a crash, whose process id is another process's by now, hinder nobody."""
    cluster = data_dir / "postgres"
    names = ("postmaster.pid", ".s.PGSQL.5432.lock")
    async with embedded.open_embedded(data_dir):
        server = postmaster(data_dir)
        left = {name: (cluster / name).read_text() for name in names}
    for name, text in left.items():
        (cluster / name).write_text(text.replace(str(server), str(neighbour(cluster)), 1))
    assert postmaster(data_dir) is None
    async with embedded.open_embedded(data_dir) as again:
        assert answer(again.url, "select 1") == 1


async def test_a_half_made_cluster_is_cleared_away(data_dir: Path) -> None:
    """What a starter leaves that is killed while the cluster is made does not hinder the next."""
    with UserProcess(data_dir) as starter:
        while not half_made(data_dir):  # noqa: ASYNC110 - nobody says when it is there
            await trio.sleep(0.005)
        starter.kill()
    async with embedded.open_embedded(data_dir) as server:
        assert answer(server.url, "select 1") == 1


async def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    """The error carries PostgreSQL's own reason and where to read more."""
    async with embedded.open_embedded(data_dir):
        pass
    with (data_dir / "postgres" / "postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = plenty\n")
    with pytest.raises(ServerUnavailable, match=r"(?s)errors.*postgres\.log"):
        async with embedded.open_embedded(data_dir):
            pass
    assert embedded.status(data_dir).users == ()


# ---- whose server it is -----------------------------------------------------------------------


def test_a_plain_user_gets_one_in_its_own_data_folder() -> None:
    """Without a folder named, a plain user's server lies below its home and belongs to it."""
    with open_folder() as home:
        prefix = as_plain_user()
        if prefix:
            shutil.chown(home, "nobody")
        with UserProcess(prefix=prefix, home=str(home)) as user:
            assert answer(user.joined(), "select 1") == 1
            cluster = next(home.rglob("PG_VERSION")).parent
            assert cluster.stat().st_uid == home.stat().st_uid
            user.leave()


async def test_folders_on_the_way_keep_their_permissions(data_dir: Path) -> None:
    """The server runs in a folder below closed ones, and they stay closed."""
    async with embedded.open_embedded(data_dir) as server:
        assert answer(server.url, "select 1") == 1
        assert permissions(data_dir.parent) == permissions(data_dir) == "drwx------"


async def test_programs_out_of_reach_are_copied(data_dir: Path) -> None:
    """When root's server user may not enter the installation it runs a copy; others need none."""
    user = server_user(data_dir)
    installed = bundled_programs(18)
    closed = data_dir.parent
    for part in (MODULE, f"{MODULE}.libs"):
        (closed / part).symlink_to(installed.parents[2] / part)
    bundled = closed / installed.relative_to(installed.parents[2])
    with open_folder() as folder:
        programs = await reachable_programs(bundled, user, folder / "cache")
        for program in ("initdb", "postgres", "pg_ctl"):
            await run_program(programs / program, "--version", user=user)
        assert programs.is_relative_to(folder) == (os.geteuid() == 0)
        assert await reachable_programs(bundled, user, folder / "cache") == programs
