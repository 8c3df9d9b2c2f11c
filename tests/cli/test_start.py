"""How the program starts: a command imports what it needs, and finds what it names."""

import subprocess
import sys

import pytest

from trioworker.cli.main import COMMANDS

LOADED = """
import sys
from trioworker.cli import main
main.load(sys.argv[1:])
print(*sys.modules)
"""


def loaded(*arguments: str) -> set[str]:
    """The modules that are there when a command begins."""
    asked = [sys.executable, "-c", LOADED, *arguments]
    ended = subprocess.run(asked, capture_output=True, check=True, encoding="utf-8")
    return set(ended.stdout.split())


def test_a_command_leaves_out_what_only_others_need() -> None:
    """Neither measurements nor what draws on a terminal: nobody has to wait for these."""
    assert "trioworker.cli.jobs" in (there := loaded("jobs", "list"))
    assert there.isdisjoint({"trioworker.bench.command", "structlog", "rich.progress"})


@pytest.mark.parametrize("arguments", [(), ("--version",), ("no such command",)])
def test_what_is_no_command_loads_none(arguments: tuple[str, ...]) -> None:
    """It is for Typer to say so."""
    assert loaded(*arguments).isdisjoint(place.partition(":")[0] for place in COMMANDS.values())
