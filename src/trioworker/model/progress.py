"""How far a job has come, by its own account.

Rule of this file: pure. What it takes is checked here, where a job says it; CHECK constraints in
the schema repeat the bounds.
"""

from typing import Final

import msgspec

from trioworker.errors import UsageError

NOTE_BYTES_MAX: Final = 500
SHOWN_MAX: Final = 40


class Progress(msgspec.Struct, frozen=True, gc=False):
    """`fraction` goes from 0 to 1; `note` says in words what is being done, and may be empty."""

    fraction: float
    note: str = ""


def progress_of(fraction: object, note: object = "") -> Progress:
    """What somebody tells, as it can be stored. Raises `UsageError` when it will not do.

    Of a note, what PostgreSQL cannot store becomes U+FFFD, as it does in a log.
    """
    try:
        will_do = bool(0 <= fraction <= 1)  # type: ignore[operator]  # that is what is asked
    except (TypeError, ValueError, ArithmeticError):
        will_do = False
    if not will_do:
        raise UsageError(f"a progress of {_shown(fraction)} will not do; it goes from 0 to 1")
    if not isinstance(note, str):
        raise UsageError(f"the note of a progress is text, not {_shown(note)}")
    if not note.isascii():
        note = note.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    note = note.replace("\x00", "\ufffd")
    if (size := len(note.encode())) > NOTE_BYTES_MAX:
        raise UsageError(
            f"the note of a progress has {size:,} bytes, at most {NOTE_BYTES_MAX}: {_shown(note)}"
        )
    return Progress(float(fraction), note)  # type: ignore[arg-type]  # what compares to 0 and 1


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_MAX else f"{text[:SHOWN_MAX]}…"
