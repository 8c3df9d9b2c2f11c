"""The simulator's tutorial is run as it is written."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[1]
TUTORIAL: Final = ROOT / "docs" / "simulator" / "tutorial.md"
BLOCK: Final = re.compile(r"^```sh(?: (\w+))?\n(.*?)^```", re.MULTILINE | re.DOTALL)


class Done(NamedTuple):
    """A block that was run, and what it printed."""

    block: str
    printed: str


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> list[Done]:
    """All blocks in order, in a folder that has the simulator and nothing else in it."""
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "sim").symlink_to(ROOT / "sim")
    scripts = Path(sys.executable).parent
    environment = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    done = []
    for words, text in BLOCK.findall(TUTORIAL.read_text("utf-8")):
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],  # noqa: S607 - the reader's own
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert (ran.returncode != 0) == (words == "fails"), text + ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr, ran.stderr
        done.append(Done(text, ran.stdout))
    return done


def printed_by(walk: list[Done], words: str) -> list[str]:
    """What the blocks that say `words` printed."""
    return [done.printed for done in walk if words in done.block]


@pytest.mark.timeout(240)
def test_the_walk_goes_as_the_text_says(walk: list[Done]) -> None:
    """A poison costs its neighbours nothing, a lost reply is recognised, and the twins agree."""
    assert "falls back to per-job commits" in printed_by(walk, "poison-three")[0]
    assert "stored already" in printed_by(walk, "replay sim/scenarios/line-lost-after")[0]
    assert "nothing found" in printed_by(walk, "explore")[0]
    (twins,) = printed_by(walk, "run --seed 3\npython")
    assert len(set(re.findall(r"trace (\w+)", twins))) == 1


@pytest.mark.timeout(240)
def test_the_bug_is_found_and_made_small(walk: list[Done]) -> None:
    """The planted bug fails the seed, shrinks to a handful of jobs, and is gone without it."""
    assert "✗ fallback" in printed_by(walk, "run --seed 3 --mutant")[0]
    (jobs,) = re.findall(r"^jobs = (\d+)", printed_by(walk, "cat found.toml")[0], re.MULTILINE)
    assert int(jobs) <= 5
    assert "nothing found" in walk[-1].printed
