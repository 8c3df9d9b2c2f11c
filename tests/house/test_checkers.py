"""Linter, formatter and type checkers find nothing: the same commands as `make lint`."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.tidy import ROOT

BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--output-format=concise"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["pyright", "--pythonpath", sys.executable],
    ],
    ids=["style", "format", "types", "public types"],
)
def test_the_checker_is_content(command: list[str]) -> None:
    """Code that a checker complains about does not pass the tests either."""
    checked = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=ROOT,
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_public_api_is_where_pyright_looks_for_it() -> None:
    """Pyright passes over a file that is not there, so a renamed one must not go unnoticed."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())

    missing = [
        path for path in pyproject["tool"]["pyright"]["include"] if not (ROOT / path).exists()
    ]

    assert missing == []
