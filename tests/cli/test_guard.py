"""However a command ends, it ends with one line and the status of the table."""

from collections.abc import Callable
from typing import NoReturn

import pytest
import typer

from trioworker.cli.guard import guarded
from trioworker.errors import (
    ConnectionLost,
    Contention,
    Exhausted,
    InvalidArguments,
    SchemaMismatch,
    ServerUnavailable,
    SettingsError,
    UnknownJob,
    WaitTimeout,
)

Said = Callable[[BaseException], tuple[object, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """The status that an error ends a command with, and what is on stderr then."""

    def end(error: BaseException) -> tuple[object, str]:
        def command() -> NoReturn:
            raise error

        with pytest.raises(SystemExit) as ended:
            guarded(command)
        printed = capsys.readouterr()
        assert printed.out == ""
        return ended.value.code, printed.err

    return end


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (SettingsError("--mode=x will not do"), 2, "--mode=x will not do"),
        (InvalidArguments("job 'f': too many"), 2, "job 'f': too many"),
        (UnknownJob("there is no job 7"), 2, "there is no job 7"),
        (WaitTimeout("job 7 is ready"), 1, "job 7 is ready"),
        (Contention("deadlock", sqlstate="40P01"), 1, "deadlock"),
        (SchemaMismatch("the schema lacks 1"), 4, "the schema lacks 1"),
        (ServerUnavailable("PostgreSQL did not start"), 4, "PostgreSQL did not start"),
    ],
)
def test_what_is_known_is_told_in_its_own_words(
    said: Said, error: Exception, status: int, words: str
) -> None:
    """Our errors are whole sentences; the class decides the status."""
    assert said(error) == (status, f"trioworker: {words}\n")


@pytest.mark.parametrize(
    ("error", "mend"),
    [
        (ConnectionLost("refused"), "check DATABASE_URL, and that PostgreSQL runs there"),
        (ConnectionLost("bye", sqlstate="57P01"), "check DATABASE_URL, and that PostgreSQL runs"),
        (Exhausted("who?", sqlstate="28P01"), "check user and password in DATABASE_URL"),
        (Exhausted("where?", sqlstate="3D000"), "create it, or name another in DATABASE_URL"),
        (Exhausted("no", sqlstate="42501"), "use a user who may"),
        (Exhausted("too many", sqlstate="53300"), "give the server more of what it lacks"),
        (ServerUnavailable("standby", sqlstate="25006"), "name the primary in DATABASE_URL"),
        (ServerUnavailable("soon", sqlstate="57P03"), "try again when it is ready"),
        (SchemaMismatch("relation", sqlstate="42P01"), "run `trioworker migrate` first"),
    ],
)
def test_what_a_server_says_comes_with_a_mend(said: Said, error: Exception, mend: str) -> None:
    """The server's words do not say what to do; ours after them do."""
    status, words = said(error)
    assert status == 4
    assert words.startswith(f"trioworker: the database cannot be used: {error}; {mend}")
    assert words.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), 130),
        (BaseExceptionGroup("", [ConnectionLost("lost"), KeyboardInterrupt()]), 130),
        (typer.Abort(), 130),
        (BrokenPipeError(), 1),
        (SystemExit(3), 3),
        (SystemExit(), None),
    ],
)
def test_who_leaves_on_purpose_is_told_nothing(
    said: Said, error: BaseException, status: int | None
) -> None:
    """Ctrl-C, a reader that has left, and a status of the command's own need no words."""
    assert said(error) == (status, "")


def test_a_bug_is_one_line_that_says_how_to_see_more(said: Said) -> None:
    """What nobody foresaw is called a bug, also beside errors that may follow from it."""
    told = (1, "trioworker: this is a bug: KeyError: 'x' (TRIOWORKER_DEBUG=1 shows where)\n")
    assert said(KeyError("x")) == told
    assert said(ExceptionGroup("", [ConnectionLost("lost"), KeyError("x")])) == told


def test_debug_shows_where(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """With TRIOWORKER_DEBUG=1 the traceback comes before the line."""
    monkeypatch.setenv("TRIOWORKER_DEBUG", "1")
    status, words = said(KeyError("x"))
    assert status == 1
    assert words.startswith("Traceback (most recent call last)")
    assert words.splitlines()[-1].startswith("trioworker: this is a bug: KeyError")


def test_lines_of_others_become_one(said: Said) -> None:
    """A message of several lines is told on one."""
    assert said(SettingsError("first\n  second"))[1] == "trioworker: first second\n"


def test_what_others_say_steers_no_terminal(said: Said) -> None:
    """The words may be a server's, or a job's; they are one line of letters all the same."""
    status, line = said(ServerUnavailable("it says\n\x1b[2J \x9b5m: \u202eno"))
    assert (status, line) == (4, "trioworker: it says \\x1b[2J \\x9b5m: \\u202eno\n")
