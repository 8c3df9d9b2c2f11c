"""One setting as commands, docs and messages see it: the row of the table that a field becomes."""

from typing import Any, Final

import msgspec

from trioworker.model.batching import Mode
from trioworker.settings.kinds import ValueKind

SHOWN_CHARS_MAX: Final = 100


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `default_is` is the default as docs and help show it. `elsewhere` is what the setting is in a
    mode outside `modes`, where only that value may be given; None: the default, and none may.
    """

    name: str
    variable: str
    flag: str
    kind: ValueKind
    default: Any
    default_is: str
    help: str
    modes: frozenset[Mode]
    elsewhere: Any

    def source(self, raw: str, *, from_flag: bool) -> str:
        """Where a value came from, as its user wrote it, on one line."""
        origin = self.flag if from_flag else self.variable
        untold = self.kind.secret or (self.kind.flag_only and from_flag)
        return origin if untold else f"{origin}={_shortened(raw)}"


def _shortened(raw: str) -> str:
    line = raw if raw.isprintable() else repr(raw)[1:-1]
    return line if len(line) <= SHOWN_CHARS_MAX else f"{line[:SHOWN_CHARS_MAX]}…"
