"""`flows`: how many steps of flows a worker moves on in a second, per job and in batches.

Rule of this file: both modes run the same flows, of steps that do nothing. All flows of a
measurement are ready when it begins, as they are where it matters: when many are under way.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import msgspec

from trioworker.app import App
from trioworker.bench.figures import Measured, Samples, ratio, shown
from trioworker.bench.rig import Rig, Server, Sort, script
from trioworker.bench.tally import SEED, worker_config
from trioworker.bench.turns import in_turns
from trioworker.model.batching import Mode
from trioworker.runners.protocol import Runner
from trioworker.runners.registry import build_runners, open_runners

STEPS: Final = 20_000
PER_JOB_SHARE: Final = 10
"""Per-job mode gets so many times fewer flows, to take about as long."""
BATCH: Final = 500
ROUNDS: Final = 3
PATH: Final = "bench/flow"
LENGTH: Final = 10
WIDTH: Final = 100

NOTHING: Final = {"type": "function", "path": "nothing"}
SEQUENCE: Final = {
    "steps": [{"id": f"step_{number}", **NOTHING} for number in range(1, LENGTH + 1)],
}
LOOP: Final = {
    "steps": [
        {
            "id": "each",
            "type": "for_each",
            "items": {"expr": "input.items"},
            "parallel": True,
            "steps": [{"id": "one", **NOTHING}],
        }
    ],
}
SHAPES: Final[Mapping[str, tuple[Mapping[str, object], Mapping[str, object], int]]] = {
    f"{LENGTH} steps in a row": (SEQUENCE, {}, LENGTH),
    f"a parallel loop of {WIDTH}": (LOOP, {"items": list(range(WIDTH))}, WIDTH),
}
"""What is measured: the flow, its arguments, and how many steps it has."""

app = App()


@app.job
async def nothing() -> None:
    """The step that is nothing but the cost of being one."""


async def measure(server: Server, *, jobs: int = STEPS) -> Measured:
    """Drain flows of `jobs` steps in agent-batch mode and a part of that in worker mode."""
    runners = build_runners(app, scripts_dir=Path(), rng=Random(SEED))
    async with server.rig() as rig, open_runners(runners):
        sides = {
            (shape, mode): partial(_rate, rig, runners, shape, mode, jobs)
            for shape in SHAPES
            for mode in (Mode.WORKER, Mode.AGENT_BATCH)
        }
        rates = await in_turns(ROUNDS, sides)
    return _measured({side: Samples(found) for side, found in rates.items()}, jobs)


async def _rate(
    rig: Rig, runners: Mapping[str, Runner], shape: str, mode: Mode, steps: int
) -> float:
    """Steps per second in `mode`, stored, each with the advance of its flow."""
    definition, args, length = SHAPES[shape]
    share = 1 if mode.batches else PER_JOB_SHARE
    flows = max(1, steps // length // share)
    await rig.refill(flows, Sort("flow", PATH, msgspec.json.encode(args).decode()))
    await script(rig.database, "push_flow", path=PATH, definition=_text(definition))
    jobs = flows * (length + 1)
    drained = await rig.drain(runners, worker_config(mode, batch=BATCH), jobs)
    assert drained.tally.failed == 0
    return flows * length / drained.seconds


def _text(definition: Mapping[str, object]) -> str:
    return msgspec.json.encode(definition).decode().replace("'", "''")


def _measured(rates: Mapping[tuple[str, Mode], Samples], steps: int) -> Measured:
    def times(shape: str) -> float | None:
        return ratio(rates[shape, Mode.AGENT_BATCH].median, rates[shape, Mode.WORKER].median)

    found = {shape: times(shape) for shape in SHAPES}
    sequence, loop = found
    known = [times for times in found.values() if times is not None]
    return Measured(
        about="Steps that do nothing, each of which moves its flow on: one worker per job, and in"
        f" batches of up to {BATCH}.",
        columns=("flows", "mode", "steps/s, median", "lowest … highest", "times per-job"),
        rows=[
            (shape, mode, *measured.shown(), shown(found[shape]) if mode.batches else "")
            for (shape, mode), measured in rates.items()
        ],
        figures={
            "ratio": min(known) if len(known) == len(found) else None,
            "sequence_ratio": found[sequence],
            "loop_ratio": found[loop],
            "sequence_steps_per_s": rates[sequence, Mode.AGENT_BATCH].median,
            "loop_steps_per_s": rates[loop, Mode.AGENT_BATCH].median,
            "steps": steps,
            "batch": BATCH,
            "rounds": ROUNDS,
        },
    )
