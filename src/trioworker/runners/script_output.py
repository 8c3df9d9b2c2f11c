"""What a script prints: its log, but for the lines that tell its progress.

A line `::progress 0.4 four of ten files` tells it and does not come into the log. In every language
that is a print, and where nobody listens it is just a line.

Rule of this file: no I/O. Text comes in pieces that end anywhere; only what may become such a line
is held back until it is whole.
"""

import re
from typing import Final

from trioworker.errors import UsageError
from trioworker.model.progress import progress_of
from trioworker.runners.joblog import JobLog

MARK: Final = "::progress"
LINE_CHARS_MAX: Final = 4_096
"""What is longer is no line of ours, and is not waited for."""

_TELLING: Final = re.compile(
    rf"^{MARK}[ \t]+(\S+)(?:[ \t]+([^\n]*?))?[ \t\r]*(?:\n|\Z)", re.MULTILINE
)


class ScriptOutput:
    """Takes the output of one attempt apart, for its log."""

    def __init__(self, log: JobLog) -> None:
        self._log = log
        self._held = ""
        self._at_start = True

    def write(self, text: str) -> None:
        """The next piece."""
        text, self._held = self._held + text, ""
        start = text.rfind("\n") + 1
        if (start or self._at_start) and _may_tell(text[start:]):
            text, self._held = text[:start], text[start:]
        self._pass_on(text)

    def close(self) -> None:
        """No more will come."""
        held, self._held = self._held, ""
        self._pass_on(held)

    def _pass_on(self, text: str) -> None:
        if not text:
            return
        begun, newline, rest = ("", "", text) if self._at_start else text.partition("\n")
        self._at_start = text.endswith("\n")
        if MARK in rest:
            rest = _TELLING.sub(self._told, rest)
        self._log.write(f"{begun}{newline}{rest}")

    def _told(self, line: re.Match[str]) -> str:
        """What the log has instead of the line: nothing, or why it will not do."""
        try:
            self._log.progress.tell(progress_of(_number(line[1]), line[2] or ""))
        except UsageError as error:
            return f"{line[0].rstrip()}\ntrioworker: {error}\n"
        return ""


def _may_tell(begun: str) -> bool:
    """Whether a line that begins like that may tell something."""
    ours = MARK.startswith(begun) or begun.startswith(MARK)
    return ours and 0 < len(begun) <= LINE_CHARS_MAX


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
