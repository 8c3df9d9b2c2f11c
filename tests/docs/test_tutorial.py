"""The tutorial is true: its files are saved and its commands are run, in order."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from trioworker.store.postgres import embedded

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"```(\w+)(?: ([^\n]*))?\n(.*?)```", re.DOTALL)


class Block(NamedTuple):
    """A fenced block: its language, the words after it, and what it holds."""

    language: str
    words: str
    text: str


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data folder with a name short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="tw-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "data"
        trio.run(embedded.stop, Path(folder) / "data")


def run(block: Block, folder: Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run a block of shell as a reader would, who has the environment activated."""
    scripts = str(Path(sys.executable).parent)
    clean = {k: v for k, v in os.environ.items() if k not in {"DATABASE_URL", "MODE"}}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.text],
        cwd=folder,
        env=clean
        | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "TRIOWORKER_DATA_DIR": str(data_dir),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_tutorial_works(tmp_path: Path, data_dir: Path) -> None:
    """Every block does what the text around it says, without a traceback of ours."""
    shown = []
    for block in (Block(*found) for found in BLOCK.findall(TUTORIAL.read_text("utf-8"))):
        if title := re.fullmatch(r"title=(\S+)", block.words):
            file = tmp_path / title[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)
        elif block.language == "sh" and block.words != "not run":
            done = run(block, tmp_path, data_dir)
            shown.append(done.stdout)
            assert (done.returncode != 0) == (block.words == "fails"), block.text + done.stderr
            assert "Traceback" not in done.stderr, done.stderr
    output = "\n".join(shown)
    assert output.count("failure") >= 4
    assert "double.py" in output
