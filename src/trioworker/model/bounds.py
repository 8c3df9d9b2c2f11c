"""How long names may be and how urgent jobs: the bounds that several definitions share.

Rule of this file: they stand here once, in words a user can act on; CHECK constraints in the schema
repeat them for whoever writes SQL by hand.
"""

from typing import Final

from trioworker.errors import UsageError

TAG_BYTES_MAX: Final = 120
PATH_BYTES_MAX: Final = 1_000
PRIORITY_MIN: Final = -1_000
PRIORITY_MAX: Final = 1_000


def bounded_text(what: str, value: str, bytes_max: int) -> None:
    """Raises `UsageError` when text is empty or too long, or PostgreSQL cannot store it."""
    check_text(f"the {what}", value)
    size = len(value.encode("utf-8", "surrogatepass"))
    if size == 0:
        raise UsageError(f"the {what} is empty")
    if size > bytes_max:
        raise UsageError(f"the {what} is too long: {size} bytes, at most {bytes_max}")
    if "\x00" in value:
        raise UsageError(f"the {what} contains a NUL character, which PostgreSQL cannot store")


def check_text(what: str, value: object) -> None:
    """Raises `UsageError` unless the value is text."""
    if not isinstance(value, str):
        raise UsageError(f"{what} is text, not {value!r}")


def check_whole_number(what: str, value: object) -> None:
    """Raises `UsageError` unless the value is one."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"{what} is a whole number, not {value!r}")


def bounded_priority(priority: int) -> None:
    """Raises `UsageError` when a priority is out of range."""
    check_whole_number("the priority", priority)
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise UsageError(
            f"priority {priority} is out of range; it goes from {PRIORITY_MIN}"
            f" to {PRIORITY_MAX}, higher first"
        )
