"""Servers and agents as processes of their own, which a test may kill."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.server.agents import SECRET

PATIENCE_S: Final = 60.0


class Program:
    """`trioworker` with some arguments and settings, started as often as a test likes."""

    def __init__(self, *arguments: str, **settings: str) -> None:
        self._command = [sys.executable, "-m", "trioworker", *arguments, "--log-format", "json"]
        own = {name: value for name, value in os.environ.items() if "TRIOWORKER_" not in name}
        self._environment = {**own, **settings}
        self._process: trio.Process | None = None
        self.said = ""

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        return self._running.pid

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> int:
        """Run until it ends; returns its status. Told as started as soon as there is a process."""
        process = self._process = await trio.lowlevel.open_process(
            self._command, env=self._environment, stderr=subprocess.PIPE
        )
        try:
            task_status.started()
            assert process.stderr is not None
            async for piece in process.stderr:
                self.said += piece.decode()
            return await process.wait()
        finally:
            with trio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._running.send_signal(number)

    async def ended(self) -> int:
        """Wait until it has ended, and return its status."""
        with trio.fail_after(PATIENCE_S):
            return await self._running.wait()

    async def until_said(self, words: str) -> None:
        """Wait until its log has these words."""
        with trio.fail_after(PATIENCE_S):
            while words not in self.said:
                assert self._running.returncode is None, self.said
                await trio.sleep(0.02)

    @property
    def _running(self) -> trio.Process:
        assert self._process is not None, "it was not started"
        return self._process


def a_server(url: str, port: int, *arguments: str) -> Program:
    """A server of the database at `url`."""
    return Program(
        "server", "--listen", f"127.0.0.1:{port}", "--sweep-s", "0.5", *arguments,
        DATABASE_URL=url, TRIOWORKER_AGENT_SECRET=SECRET,
    )  # fmt: skip


def an_agent(port: int, token: str, *arguments: str, mode: str = "agent-batch") -> Program:
    """An agent of the server at that port, whose lease is short."""
    return Program(
        "run", "--lease-s", "3", "--heartbeat-s", "1", "--poll-s", "0.2", *arguments,
        MODE=mode, BASE_INTERNAL_URL=f"http://127.0.0.1:{port}", AGENT_TOKEN=token,
    )  # fmt: skip


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(*programs: Program) -> AsyncIterator[trio.Nursery]:
    """The programs, started, until the context ends; more may be started in the nursery."""
    async with trio.open_nursery() as nursery:
        for program in programs:
            await nursery.start(program.run)
        yield nursery
        nursery.cancel_scope.cancel()
