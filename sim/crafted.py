"""Crafted runs for the tests of the laboratory, and its commands as their users run them."""

import io
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from sim.__main__ import main
from sim.lab.chronicle import Chronicle
from sim.lab.story import story
from sim.lab.timeline import Picture, picture
from sim.lab.trial import attempt
from sim.plan import Plan, Sizes
from sim.scenario import VERSION, Scenario, save
from trioworker.worker.commit import Commit

POISON: Final = Plan(
    seed=1,
    sizes=Sizes(workers=1),
    jobs=("identity", "poison", "identity", "slow"),
    chaos_s=1.0,
    drain_s=4.0,
)
"""A batch of three, the one in the middle refused by the database; and a job that takes longer."""

LOST_REPLY: Final = msgspec.structs.replace(
    POISON,
    jobs=("identity",) * 3,
    exactly=["line lost after the effect@worker-0/commit#0"],
    chaos_s=0.5,
)
"""A commit of three takes effect, and the worker does not hear of it."""

ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


class Ended(NamedTuple):
    """How a command ended, what it printed, what it complained of."""

    status: int
    output: str
    complaint: str


def lab(*arguments: str) -> Ended:
    """Run `python -m sim` with these arguments, in this process."""
    output, complaint = io.StringIO(), io.StringIO()
    with redirect_stdout(output), redirect_stderr(complaint), pytest.raises(SystemExit) as end:
        main(arguments)
    return Ended(int(end.value.code or 0), output.getvalue(), complaint.getvalue())


def written(folder: Path, plan: Plan = POISON, *, about: str = "A story.", see: str = "") -> str:
    """The path of a scenario file with `plan`, called "crafted"."""
    path = folder / "crafted.toml"
    must_see = [see] if see else []
    save(Scenario(version=VERSION, story=about, plan=plan, must_see=must_see), path)
    return str(path)


def told(plan: Plan) -> str:
    """The story of a run, a line for each line."""
    return "\n".join(f"{line.who}: {line.text}" for line in story(chronicled(plan)))


def drawn(plan: Plan) -> Picture:
    """The picture of a run."""
    return picture(chronicled(plan))


def chronicled(plan: Plan) -> Chronicle:
    """The chronicle of a run."""
    result = attempt(plan)
    return Chronicle(plan, result.trace, result.findings)


def drop_what_is_divided(patch: pytest.MonkeyPatch) -> None:
    """Plant a bug: a worker drops the batch whose commit is to be divided, unstored."""
    patch.setattr(Commit, "_divide", lambda commit, group: commit._settle(group))  # noqa: SLF001 - the bug is in there
