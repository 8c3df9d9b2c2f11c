"""Waiting for jobs: `jobs wait` and `enqueue --wait`."""

from collections.abc import Sequence
from uuid import UUID

import typer

from trioworker.cli.exits import ExitStatus
from trioworker.cli.output import complain, json_text, print_json
from trioworker.cli.told import showing_progress
from trioworker.client import Client, JobState


async def wait_for(
    client: Client, ids: Sequence[UUID], *, as_json: bool, timeout_s: float | None = None
) -> ExitStatus:
    """Wait for each job in turn and print its result, or say why it has none.

    What it tells of its progress meanwhile is shown on stderr, as long as that is for people.
    `timeout_s` is for each of them. Raises what `Client.wait` raises.
    """
    states = []
    for id_ in ids:
        async with showing_progress(client, id_, lines=not as_json):
            state = await client.wait(id_, timeout_s=timeout_s)
        states.append(state)
        if not as_json:
            _print_result(state)
    if as_json:
        print_json(states)
    return ExitStatus.OK if all(s.state == "success" for s in states) else ExitStatus.FAILED


def _print_result(state: JobState) -> None:
    if state.state == "success":
        typer.echo(json_text(state.result))
    else:
        complain_of(state)


def complain_of(state: JobState) -> None:
    """Say how a job ended that did not succeed."""
    why = f": {state.error.name}: {state.error.message}" if state.error else ""
    complain(f"job {state.id} ended as {state.state}{why}")
