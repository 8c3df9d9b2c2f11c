"""docs/configuration.md says what the settings table, the log and the exit statuses say."""

import re
from typing import Final

import pytest

from tests.docs.pages import PAGES, ROOT, Page, page
from tests.docs.test_commands import leaves, tree
from trioworker.cli.exits import ExitStatus
from trioworker.cli.options import DATABASE, EVERY
from trioworker.cli.progress import WRITE_EVERY_S
from trioworker.cli.sinks import IDS_SHOWN_MAX, LEVELS
from trioworker.model.batching import Mode
from trioworker.runners.dedicated import SCRIPTS_MAX
from trioworker.runners.function import LEFT_TO_OTHERS, THREADS_MAX
from trioworker.settings import TABLE, Setting

CONFIGURATION: Final = page("docs/configuration.md")
HEAD: Final = ["flag", "variable", "default", "values", "modes"]
SETTINGS: Final = [
    row for table in CONFIGURATION.tables if table.head == HEAD for row in table.rows
]


def table(*head: str) -> list[list[str]]:
    """The rows of the one table with this head."""
    (found,) = [t for t in CONFIGURATION.tables if t.head == [*head]]
    return [[*row] for row in found.rows]


def row_of(setting: Setting) -> list[str]:
    """The row that the page must have for a setting."""
    every = setting.modes == frozenset(Mode)
    return [
        f"`{setting.flag}`",
        f"`{setting.variable}`",
        setting.default_is,
        setting.kind.shape,
        "every" if every else ", ".join(sorted(setting.modes)),
    ]


@pytest.mark.parametrize("setting", TABLE.values(), ids=lambda setting: setting.name)
def test_every_setting_has_its_row(setting: Setting) -> None:
    """Flag, variable, default, values and modes are those of the program."""
    assert row_of(setting) in [[*row] for row in SETTINGS], " | ".join(row_of(setting))


def test_no_row_is_about_a_setting_that_does_not_exist() -> None:
    """What the program dropped is dropped here, and nothing is there twice."""
    assert len(SETTINGS) == len(TABLE)


@pytest.mark.parametrize("setting", TABLE.values(), ids=lambda setting: setting.name)
def test_every_setting_is_explained(setting: Setting) -> None:
    """Below its table each setting has a few words about what it is for."""
    assert f"\n- `{setting.flag}`: " in CONFIGURATION.text


def test_exit_statuses_are_those_of_the_program() -> None:
    """The page has each status once, in order."""
    statuses = [status for status, _ in table("status", "when")]

    assert statuses == [str(int(status)) for status in ExitStatus]


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_a_page_speaks_of_no_other_exit_status(of: Page) -> None:
    """Wherever a status is named, it is one of the table."""
    known = {str(int(status)) for status in ExitStatus}
    words = " ".join(of.prose.split())

    assert {*re.findall(r"\b(?:status(?: is)?|ends with) (\d+)\b", words)} <= known


def test_log_lines_are_those_of_the_program() -> None:
    """Each event has its line, with its level."""
    shown = {line: level for line, level, _ in table("line", "level", "what it means")}

    assert shown == {in_words(kind.__name__): str(level) for kind, level in LEVELS.items()}


def test_commands_and_their_settings_are_those_of_the_program() -> None:
    """Each command is in the table of commands, beside the settings that it takes."""
    shown = {
        " ".join(re.findall(r"(?<= )[a-z]+(?= |$)", span)): settings
        for commands, _, settings in table("commands", "what for", "settings")
        for span in re.findall(r"`([^`]+)`", commands)
    }

    assert shown == {
        " ".join(path): settings_of({p.name for p in command.params})
        for path, command in leaves(tree)
    }


def settings_of(parameters: set[str]) -> str:
    """The settings among these, in the words of the table."""
    names = [name for name in TABLE if name in parameters]
    if names == [*EVERY]:
        return "all"
    return (
        "the database" if names == [*DATABASE] else ", ".join(f"`{TABLE[n].flag}`" for n in names)
    )


def in_words(name: str) -> str:
    """`BatchStored` as the log has it."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


@pytest.mark.parametrize(
    "words",
    [
        f"more than {IDS_SHOWN_MAX} ids is given as its number",
        f"a line `progress` every {'five' if WRITE_EVERY_S == 5 else WRITE_EVERY_S} seconds",
        f"Functions in threads run at most {THREADS_MAX} at once",
        f"for {'five' if LEFT_TO_OTHERS.delay_s == 5 else LEFT_TO_OTHERS.delay_s} seconds, so that",
        f"At most {'eight' if SCRIPTS_MAX == 8 else SCRIPTS_MAX} such processes live at once",
    ],
)
def test_numbers_are_those_of_the_program(words: str) -> None:
    """What the text says in passing is what the code does."""
    assert words in " ".join(CONFIGURATION.text.split())


def test_other_variables_are_those_of_the_program() -> None:
    """Each variable that the program reads or sets is on the page, and no other."""
    code = "".join(file.read_text("utf-8") for file in (ROOT / "src").rglob("*.py"))
    used = {*re.findall(r"\bTRIOWORKER_[A-Z]+\b", code)} | {s.variable for s in TABLE.values()}
    named = {*re.findall(r"\bTRIOWORKER_[A-Z_]+\b", CONFIGURATION.text)}

    assert {name for name in used if name.startswith("TRIOWORKER_")} == named


@pytest.mark.parametrize("of", PAGES, ids=str)
def test_a_variable_on_any_page_is_one_of_the_program(of: Page) -> None:
    """No page makes up a variable, or leaves out the prefix of one."""
    bare = {name.upper() for name, s in TABLE.items() if s.variable != name.upper()}
    known = {*re.findall(r"\bTRIOWORKER_[A-Z_]+\b", CONFIGURATION.text)}

    for span in of.spans:
        for name in re.findall(r"\b[A-Z][A-Z_]+\b", span):
            assert name not in bare, f"{of}: {span}: it is TRIOWORKER_{name}"
            assert name in known or not name.startswith("TRIOWORKER_"), f"{of}: {span}"
