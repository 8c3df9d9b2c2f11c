"""What --help shows: every command, every option with a meaning, no name cut short."""

from collections.abc import Iterator
from functools import reduce
from typing import Any

import pytest
import typer

from tests.cli.commands import run_here
from trioworker.cli.main import app
from trioworker.settings import TABLE

NOWHERE = "postgresql://nobody@127.0.0.1:1/nowhere"


def commands(command: Any, *words: str) -> Iterator[tuple[tuple[str, ...], Any]]:  # noqa: ANN401 - typer keeps its types to itself
    """Every command of the tree with the words that lead to it."""
    yield words, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, *words, name)


TREE = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize(("words", "command"), TREE, ids=[" ".join(words) for words, _ in TREE])
def test_every_command_explains_itself(words: tuple[str, ...], command: Any) -> None:  # noqa: ANN401 - typer keeps its types to itself
    """-h and --help print what it does and each option's meaning, whatever the database does."""
    shown = run_here(*words, "--help", url=NOWHERE, COLUMNS="80").well()
    assert shown == run_here(*words, "-h", url=NOWHERE, COLUMNS="80")
    assert shown.output.startswith(f"Usage: {' '.join(('trioworker', *words))} ")
    assert shown.complaints == ""
    assert [option.name for option in command.params if not option.help] == []
    lists = ("[ARGS]...", "{ID}...", "[ID]...", "{FILE}...")
    assert "..." not in reduce(lambda text, words: text.replace(words, ""), lists, shown.output)
    assert "[[" not in shown.output


def test_run_names_every_setting_in_full() -> None:
    """Each setting is there with its flag and its variable on a terminal of 80 columns."""
    shown = run_here("run", "--help", url=NOWHERE, COLUMNS="80").well().output
    names = {s.flag for s in TABLE.values()} | {s.variable for s in TABLE.values()}
    assert {name for name in names if name not in shown} == set()


@pytest.mark.parametrize("words", [(), ("jobs",), ("db",), ("bench",), ("token",)])
def test_a_group_alone_shows_its_help_and_fails(words: tuple[str, ...]) -> None:
    """Nothing was asked for: the help is on stderr, and the status says usage."""
    ended = run_here(*words, url=NOWHERE)
    assert (ended.status, ended.output) == (2, "")
    assert ended.complaints == run_here(*words, "--help", url=NOWHERE).output


def test_the_version_is_one_line() -> None:
    """--version needs no database."""
    assert run_here("--version", url=NOWHERE).well().output.startswith("trioworker ")
