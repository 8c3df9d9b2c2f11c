"""Imports point down only: the contract in pyproject.toml holds, and notices a planted import."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tidy import ROOT

LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint_imports(repository: Path) -> subprocess.CompletedProcess[str]:
    """Check the package under `repository`, which goes before the installed one on the path."""
    return subprocess.run(
        [LINT_IMPORTS, "--no-cache", "--no-logo", repository / "pyproject.toml"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(repository / "src"), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package and its contract to plant imports in, every floor at least begun."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "src/trioworker"
    shutil.copytree(ROOT / "src/trioworker", package)
    for floor in ("cli", "worker"):
        (package / floor / "__init__.py").touch()
        (package / floor / "planted.py").touch()
    (package / "settings.py").touch()
    return tmp_path


def test_the_contract_holds() -> None:
    """No module of the product imports what stands above it or what is not its to import."""
    checked = lint_imports(ROOT)

    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("model/planted.py", "import trioworker.cli.planted", "floors of the house"),
        ("store/planted.py", "from trioworker.worker import planted", "floors of the house"),
        ("stray.py", "import trioworker.errors", "floors of the house"),
        ("worker/planted.py", "import asyncpg", "imports the driver"),
        ("store/postgres/store.py", "from trio_asyncio import open_loop", "imports the driver"),
        ("runners/planted.py", "def f():\n    import sim.clock", "neither its simulator"),
        ("model/planted.py", "import trio", "The model is pure"),
        ("model/planted.py", "from time import time", "The model is pure"),
        ("model/planted.py", "import trioworker.settings", "The model is pure"),
    ],
)
def test_a_planted_import_breaks_the_contract(
    copy: Path, module: str, line: str, broken: str
) -> None:
    """Each part of the contract fails on an import that it forbids, and names the module."""
    (copy / "src/trioworker" / module).write_text(f"{line}\n")

    checked = lint_imports(copy)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert re.search(rf"{broken}.* BROKEN", checked.stdout)
    assert module.removesuffix(".py").replace("/", ".") in checked.stdout
