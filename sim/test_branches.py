"""How much of the worker the simulator reaches: the measuring itself, on a planted product."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from sim.branches import PARTS, PRODUCT, reasons
from sim.crafted import lab, written
from tests.docs.pages import ROOT

TWO_WAYS: Final = "def way(left):\n    if left:\n        return 1\n    return 2\n"
PROGRAM: Final = """
import glob, multiprocessing, runpy, sys

def take(left):
    for path in glob.glob("src/trioworker/**/*.py", recursive=True):
        runpy.run_path(path)["way"](left)

if __name__ == "__main__":
    take(True)
    with multiprocessing.get_context("spawn").Pool(1) as children:
        children.map(take, [False] * ("both" in sys.argv))
        children.close()
        children.join()
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A folder with our settings, and a product whose parts are a function with two ways each."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    for part in PARTS:
        file = tmp_path / PRODUCT / (part if part.endswith(".py") else f"{part}planted.py")
        file.parent.mkdir(parents=True)
        file.write_text(TWO_WAYS)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in `folder`, where nobody else is measuring."""
    environment = {key: value for key, value in os.environ.items() if "COVERAGE" not in key}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )


def judged(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What is said after `program.py` was measured as `make coverage` measures."""
    for steps in (("run", "program.py", *arguments), ("combine", "--quiet")):
        done = run(folder, "-m", "coverage", *steps)
        assert (done.returncode, done.stderr) == (0, "")
    return run(folder, "-m", "sim.branches")


def test_too_little_is_a_failure(planted: Path) -> None:
    """The status is 1, with how much there is, and which ways are missing where."""
    told = judged(planted)

    assert told.returncode == 1
    assert "| worker/planted.py | 2 | 1 | 50.0 |" in told.stdout
    assert "worker/planted.py: way: 2 to 4: no reason is given in" in told.stdout
    assert "\n3 ways of 6 are less than 90 %; " in told.stdout


def test_what_a_spawned_process_takes_counts(planted: Path) -> None:
    """The seeds run in such processes: with their ways all are taken."""
    told = judged(planted, "both")

    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.endswith("| **all** | 6 | 6 | 100.0 |\n\n")


def test_without_a_measurement_one_line_says_how_to_get_one(tmp_path: Path) -> None:
    """Nobody gets a table of nothing."""
    told = run(tmp_path, "-m", "sim.branches")

    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.endswith("try make coverage\n")
    assert told.stderr.count("\n") == 1


def test_a_run_that_is_measured_is_the_same_run(planted: Path) -> None:
    """Measuring disturbs nothing: the trace has the hash that it has without."""
    arguments = ("run", "--seed", written(planted), "--json")
    measured = run(planted, "-m", "coverage", "run", "-m", "sim", *arguments)

    assert json.loads(measured.stdout)["trace"] == json.loads(lab(*arguments).output)["trace"]
    assert list(planted.glob(".coverage.*"))


def test_the_page_gives_reasons_for_what_is_there() -> None:
    """A file or a function that is gone needs no reason."""
    for place in reasons():
        name, _, function = place.partition(": ")
        code = (ROOT / PRODUCT / name).read_text("utf-8")
        assert f"def {function.rpartition('.')[2]}" in code, place
