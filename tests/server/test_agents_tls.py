"""Agents come over HTTPS where a proxy in front of the server has the certificate."""

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.server.agents import Server, open_line, open_server
from tests.server.programs import Program, running
from tests.worker.harness import Rig
from trioworker.cli.exits import ExitStatus

NAME = "localhost"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate that nobody else knows, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-days", "2",
            "-keyout", key, "-out", certificate,
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


@asynccontextmanager
async def tls_before(server: Server, certificate: tuple[Path, Path]) -> AsyncIterator[str]:
    """The address of a proxy that ends TLS and passes all on to the server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    port = int(server.address.rpartition(":")[2])

    async def pump(here: trio.abc.ReceiveStream, there: trio.abc.SendStream) -> None:
        async for piece in here:
            await there.send_all(piece)

    async def passed_on(client: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            async with (
                client,
                await trio.open_tcp_stream("127.0.0.1", port) as behind,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(pump, behind, client)
                await pump(client, behind)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # somebody hung up, or did not like the certificate

    async with trio.open_nursery() as nursery:
        serving = partial(trio.serve_ssl_over_tcp, passed_on, 0, context, host="127.0.0.1")
        listeners: list[trio.SSLListener[trio.SocketStream]] = await nursery.start(serving)
        bound = listeners[0].transport_listener
        assert isinstance(bound, trio.SocketListener)
        yield f"https://{NAME}:{bound.socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_an_agent_behind_nat(database_url: str, certificate: tuple[Path, Path]) -> None:
    """It goes out by HTTPS and drains the queue; whose certificate it does not know, it leaves."""
    async with open_server(database_url) as server, tls_before(server, certificate) as url:
        rig = Rig(database_url, server.database, [])
        await rig.enqueue(20, kind="noop")
        said = {"MODE": "agent-batch", "BASE_INTERNAL_URL": url}
        said["AGENT_TOKEN"] = await server.token()
        stranger = Program("run", "--drain", **said)
        knowing = Program("run", "--drain", **said, SSL_CERT_FILE=str(certificate[0]))
        async with running(stranger, knowing):
            assert await stranger.ended() == ExitStatus.UNREACHABLE
            assert await knowing.ended() == ExitStatus.OK, knowing.said
    assert rig.counts()["completed"] == 20
    [line] = stranger.said.splitlines()
    assert "CERTIFICATE_VERIFY_FAILED" in line
    assert "check BASE_INTERNAL_URL" in line


async def test_what_a_proxy_adds_changes_nothing(database_url: str) -> None:
    """An agent is who its token says, from wherever its request comes."""
    async with open_server(database_url) as server, open_line(server) as line:
        token = await server.token()
        worker = await line.registered(token)
        headers = {"x-forwarded-for": "192.0.2.7", "host": "jobs.example.org", "via": "1.1 proxy"}
        reply = await line.post("ping", {"worker": str(worker)}, token=token, **headers)
        assert (reply.status_code, reply.json()) == (200, {})
