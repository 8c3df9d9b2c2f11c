"""What the pages tell their readers to type is what the program takes."""

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
import typer

from sim.lab.commands import app as lab_app
from tests.docs.pages import PAGES, Page
from trioworker.cli.main import app
from trioworker.settings import TABLE, read_settings

# The program with an argument after it, not the module of the same name.
CALL: Final = re.compile(r"(?<![\w./-])(?<!import )(?<!from )trioworker (?=[a-z-])")
CHOICE: Final = re.compile(r"(?<!\S)[a-z]+(\|[a-z]+)+(?!\S)")
FLAG: Final = re.compile(r"--[a-z-]+")
SHELLS: Final = ("sh", "bash", "console", "")
ENDS: Final = frozenset("();<>|&")
HELP: Final = frozenset({"--help", "-h", "--version"})

tree: Final[Any] = typer.main.get_command(app)
lab: Final[Any] = typer.main.get_command(lab_app)


def typed(of: Page) -> Iterator[Sequence[str]]:
    """The arguments of each `trioworker …` that stands in code on the page."""
    texts = [block.text for block in of.blocks if block.language in SHELLS]
    for text in (*texts, *of.spans):
        for line in text.replace("\\\n", " ").splitlines():
            for call in CALL.finditer(line):
                yield from map(arguments, alternatives(line[call.end() :]))


def alternatives(rest: str) -> Iterator[str]:
    """`db start|stop` is two commands."""
    choice = CHOICE.search(rest)
    if choice is None:
        yield rest
        return
    for one in choice[0].split("|"):
        yield from alternatives(f"{rest[: choice.start()]}{one}{rest[choice.end() :]}")


def arguments(rest: str) -> Sequence[str]:
    """The words of a command, up to where the shell would end it."""
    words: list[str] = []
    lexer = shlex.shlex(rest, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for word in lexer:
        if {*word} <= ENDS:
            break
        words.append(word)
    return words


def read(words: Sequence[str]) -> None:
    """Read a command as the program would, its settings too, and do nothing.

    Raises what the program would tell its user.
    """
    command, rest = tree, [word for word in words if word not in HELP]
    while rest and (commands := getattr(command, "commands", None)):
        assert rest[0] in commands, f"there is no command {rest[0]}; one of {', '.join(commands)}"
        command = commands[rest.pop(0)]
    if HELP & {*words}:
        return
    given = command.make_context("trioworker", rest).params
    flags = {name: value for name, value in given.items() if isinstance(value, str)}
    read_settings(flags, {}, names=TABLE.keys() & given.keys())


def leaves(command: Any, *path: str) -> Iterator[tuple[Sequence[str], Any]]:  # noqa: ANN401 - click's
    """All commands that do something, with the words that call them."""
    commands = getattr(command, "commands", None)
    if commands is None:
        yield path, command
        return
    for name, below in commands.items():
        yield from leaves(below, *path, name)


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_every_command_line_is_one_that_the_program_takes(of: Page) -> None:
    """Commands, options and settings that a page shows exist and go together."""
    for words in typed(of):
        try:
            read(words)
        except Exception as error:  # noqa: BLE001 - whatever it is, the page is to be named
            pytest.fail(f"{of}: trioworker {shlex.join(words)}: {error}")


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_every_flag_is_one_that_the_program_takes(of: Page) -> None:
    """A flag that stands in code by itself belongs to one of our commands."""
    ours = {flag for t in (tree, lab) for _, c in leaves(t) for p in c.params for flag in p.opts}
    for span in of.spans:
        if span.startswith("--"):
            assert {*FLAG.findall(span)} <= ours | HELP, f"{of}: {span}"


def test_the_pages_show_how_to_use_every_command() -> None:
    """No command is left for its users to find out about by themselves."""
    shown = {tuple(words[:2]) for of in PAGES for words in typed(of)}
    shown |= {words[:1] for words in shown}
    unknown = [" ".join(path) for path, _ in leaves(tree) if path not in shown]

    assert unknown == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("trioworker run hello:app --drain  # all of it", [["run", "hello:app", "--drain"]]),
        ("for n in 1; do trioworker enqueue f '[1]'; done", [["enqueue", "f", "[1]"]]),
        ('x "$(trioworker db status --json | tail)"', [["db", "status", "--json"]]),
        ("trioworker db start|stop", [["db", "start"], ["db", "stop"]]),
        ("from trioworker import App", []),
        ("cd trioworker", []),
    ],
)
def test_commands_are_found_where_they_stand(line: str, found: list[list[str]]) -> None:
    """In loops, substitutions, choices and before comments; the module is no command."""
    calls = [line[call.end() :] for call in CALL.finditer(line)]

    assert [arguments(one) for call in calls for one in alternatives(call)] == found


@pytest.mark.parametrize(
    "words",
    [
        ["work"],
        ["jobs", "look"],
        ["run", "--no-such-flag"],
        ["run", "a:b", "c:d"],
        ["run", "--mode", "batch"],
        ["run", "--batch-pull-size", "5"],
        ["jobs", "wait"],
    ],
)
def test_a_command_that_the_program_refuses_is_found(words: list[str]) -> None:
    """What is planted on a page does not pass."""
    with pytest.raises(Exception, match=r"."):
        read(words)
