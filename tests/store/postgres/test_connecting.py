"""Connections that do not come about: each is one clear line, of the class that says whose move."""

import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final
from urllib.parse import quote

import psycopg
import pytest
import trio
from psycopg.sql import SQL, Identifier

from tests.database_fixtures import PostgresServer, database_name, private_server
from tests.store.postgres.scene import on_every_version
from trioworker.errors import (
    ConnectionLost,
    Exhausted,
    ServerUnavailable,
    SettingsError,
    StoreError,
    TrioworkerError,
)
from trioworker.events import discard
from trioworker.store.postgres import connecting
from trioworker.store.postgres.connecting import one_server_each
from trioworker.store.postgres.database import Lane, open_database

HELPLESS: Final = "trioworker_test_nobody"


async def refused(url: str) -> TrioworkerError:
    """What is said to who wants to use `url`."""
    async with open_database(url, (Lane("x"),), emit=discard) as database:
        with pytest.raises(TrioworkerError) as caught:
            await database.run("x", "ping")
    error = caught.value
    assert str(error).strip()
    assert "\n" not in str(error)
    assert not getattr(error, "ambiguous", False)
    return error


def code_of(error: TrioworkerError) -> str | None:
    """The server's code that the error keeps."""
    assert isinstance(error, StoreError)
    return error.sqlstate


@contextmanager
def role(url: str, attributes: SQL) -> Iterator[str]:
    """The address for a role that is no superuser, made for this test."""
    name, server = Identifier(HELPLESS), psycopg.connect(url, autocommit=True)
    with server:
        server.execute(SQL("create role {} {}").format(name, attributes))
        try:
            yield url.replace("//postgres@", f"//{HELPLESS}@")
        finally:
            server.execute(SQL("drop role {}").format(name))


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("jobs", "scheme is expected to be"),
        ("mysql://localhost/jobs", "scheme is expected to be"),
        ("postgresql://localhost:many/jobs", "many"),
        ("postgresql://[::1/jobs", "IPv6"),
        ("postgresql:///jobs?sslmode=perhaps", "sslmode"),
        ("postgresql:///jobs?target_session_attrs=best", "target_session_attrs"),
    ],
)
async def test_an_address_that_is_none(url: str, why: str) -> None:
    """Whoever wrote the address is told what is wrong with it and how one looks."""
    error = await refused(url)
    assert type(error) is SettingsError
    assert why in str(error)
    assert "write it as postgresql://user:password@host:port/database" in str(error)


@pytest.mark.parametrize(
    ("parameter", "why"), [("jobs=1", "jobs"), ("statement_timeout=soon", "statement_timeout")]
)
async def test_a_parameter_that_the_server_does_not_know(
    bare_url: str, parameter: str, why: str
) -> None:
    """What stands after the ? of an address is the user's as well."""
    error = await refused(f"{bare_url}&{parameter}")
    assert type(error) is SettingsError
    assert why in str(error)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///jobs?host=/never/was",
        "postgresql://nobody.invalid/jobs",
        "postgresql://127.0.0.1:{closed_port}/jobs",
        "postgresql://127.0.0.1:{closed_port},127.0.0.1:{closed_port}/jobs",
    ],
)
async def test_nobody_is_there(url: str) -> None:
    """A host, port or socket where nothing answers: the line could not be opened."""
    with trio.socket.socket() as closed:  # bound and not listening: nobody else can take it
        await closed.bind(("127.0.0.1", 0))
        error = await refused(url.format(closed_port=closed.getsockname()[1]))
    assert (type(error), code_of(error)) == (ConnectionLost, None)


async def say_nothing(_stream: trio.SocketStream) -> None:
    """A server that is stuck."""
    await trio.sleep_forever()


async def speak_http(stream: trio.SocketStream) -> None:
    """A server of another kind."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await trio.sleep_forever()


async def hang_up(stream: trio.SocketStream) -> None:
    """A proxy whose server is down."""
    await stream.receive_some()
    await stream.aclose()


async def ask_for_magic(stream: trio.SocketStream) -> None:
    """A server that wants to be convinced in a way that nobody knows."""
    await stream.receive_some()
    await stream.send_all(b"R\x00\x00\x00\x08\x00\x00\x00\x63")
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        (say_nothing, "the database did not answer in time"),
        (speak_http, "the database did not answer in time"),
        (hang_up, "connection was closed"),
        (ask_for_magic, "unsupported authentication method"),
    ],
)
async def test_whoever_is_there_is_no_postgresql(
    serve: Callable[[trio.SocketStream], Awaitable[None]],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A port that something else answers, or nothing ever, is given up in time."""
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT_S", 0.3)
    serve_here = partial(trio.serve_tcp, serve, 0, host="127.0.0.1")
    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(serve_here)
        port = listener.socket.getsockname()[1]
        error = await refused(f"postgresql://somebody@127.0.0.1:{port}/jobs?sslmode=disable")
        nursery.cancel_scope.cancel()
    assert type(error) is ConnectionLost
    assert why in str(error)


@on_every_version
async def test_what_the_server_keeps_from_whom(bare_url: str) -> None:
    """No such database, no such user, too many of them: told with the server's code."""
    name = database_name(bare_url)
    said = {
        "database": await refused(bare_url.replace(name, "never")),
        "user": await refused(bare_url.replace("//postgres@", "//never@")),
    }
    with role(bare_url, SQL("login connection limit 0")) as url:
        said["too many"] = await refused(url)
    with role(bare_url, SQL("nologin")) as url:
        said["login"] = await refused(url)
    with psycopg.connect(bare_url) as connection:
        connection.execute(
            SQL("revoke connect on database {} from public").format(Identifier(name))
        )
        connection.commit()
        with role(bare_url, SQL("login")) as url:
            said["connect"] = await refused(url)
    assert {what: (type(error), code_of(error)) for what, error in said.items()} == {
        "database": (Exhausted, "3D000"),
        "user": (Exhausted, "28000"),
        "too many": (Exhausted, "53300"),
        "login": (Exhausted, "28000"),
        "connect": (Exhausted, "42501"),
    }


@contextmanager
def asking_for_passwords(server: PostgresServer) -> Iterator[str]:
    """The address, with a hole for the password, of a role that the server asks for one."""
    rules = server.folder.cluster / "pg_hba.conf"
    rules.write_text(f"local all asked scram-sha-256\n{rules.read_text()}")
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("create role asked login password 'right'")
        admin.execute("select pg_reload_conf()")
        yield server.url.replace("//postgres@", "//asked:{}@")


async def until_refused(url: str) -> TrioworkerError:
    """What is said at last: the server may let us in for a moment longer."""
    with trio.fail_after(30):
        while True:
            try:
                async with open_database(url, (Lane("x"),), emit=discard) as database:
                    await database.run("x", "ping")
            except TrioworkerError as error:
                return error


async def test_a_server_that_asks_that_stops_and_that_is_gone() -> None:
    """A wrong password, a server on its way down, and one that is down, are three things."""
    async with private_server() as server:
        with asking_for_passwords(server) as asked:
            error = await until_refused(asked.format("wrong"))
            assert (type(error), code_of(error)) == (Exhausted, "28P01")
            async with open_database(asked.format("right"), (Lane("x"),), emit=discard) as database:
                assert await database.run("x", "ping")
            os.kill(server.postmaster_pid, signal.SIGTERM)  # it waits for us to leave
            error = await until_refused(server.url)
            assert (type(error), code_of(error)) == (ServerUnavailable, "57P03")
        await server.stop()
        error = await refused(server.url)
        assert (type(error), code_of(error)) == (ConnectionLost, None)


async def test_a_server_that_says_nothing_is_not_the_last(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that refuses: of those that an address names each has a time of its own."""
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT_S", 2.0)
    before, _, query = database_url.partition("?host=")
    folder, _, port = query.partition("&port=")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            silent, closed = mute.getsockname()[1], gone.getsockname()[1]
        url = f"{before}?host=127.0.0.1,127.0.0.1,{folder}&port={silent},{closed},{port}"
        async with open_database(url, (Lane("x"),), emit=discard) as database:
            assert await database.run("x", "ping")
        assert isinstance(await refused(url.removesuffix(port) + str(closed)), ConnectionLost)


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql:///db", ["postgresql:///db"]),
        ("postgresql://u:p@h:1/db?a=b", ["postgresql://u:p@h:1/db?a=b"]),
        (
            "postgresql://u:p,q@one:1,[::1]:2,three/db?target_session_attrs=read-write",
            [
                f"postgresql://u:p,q@{host}/db?target_session_attrs=read-write"
                for host in ("one:1", "[::1]:2", "three")
            ],
        ),
        ("postgresql://one,two", ["postgresql://one", "postgresql://two"]),
        (
            "postgresql:///db?host=/a,two&port=1,2&x=y",
            [
                f"postgresql:///db?host={quote(host, safe='')}&port={port}&x=y"
                for host, port in (("/a", 1), ("two", 2))
            ],
        ),
        (
            "postgresql://me@/db?host=one,two",
            ["postgresql://me@/db?host=one", "postgresql://me@/db?host=two"],
        ),
        (
            "postgresql://me@/db?host=one,two&port=7",
            ["postgresql://me@/db?host=one&port=7", "postgresql://me@/db?host=two&port=7"],
        ),
        (
            "postgresql:///db?host=one,two&port=1,2,3",
            ["postgresql:///db?host=one,two&port=1,2,3"],
        ),
    ],
)
def test_an_address_of_several_servers(url: str, each: list[str]) -> None:
    """Each of them is named as it would be alone; what makes no sense is left to the driver."""
    assert one_server_each(url) == each
