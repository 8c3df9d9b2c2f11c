"""What an approval asks for: who may decide, how many, until when, and in which form.

Rule of this file: data and its bounds, in words a user can act on; the options of a job hold it, so
it knows nothing of jobs. `flow_decision.py` says what a decision leads to.
"""

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from trioworker.errors import UsageError
from trioworker.model.bounds import bounded_text, check_text, check_whole_number

APPROVAL_TIMEOUT_S: Final = 1_800.0
APPROVERS_MAX: Final = 100
NAME_BYTES_MAX: Final = 200
MESSAGE_BYTES_MAX: Final = 8_000
FORM_FIELDS_MAX: Final = 50
TIMEOUT_S_MAX: Final = 10 * 365 * 24 * 3600.0

FieldType = Literal["string", "number", "boolean"]
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "boolean": (bool,),
}


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of what an approval is made of."""


class FormField(_Part, frozen=True):
    """One thing that a decision tells beside yes or no; `type` in JSON is of its value."""

    kind: FieldType = msgspec.field(default="string", name="type")
    required: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        if self.kind not in _TYPES:
            raise UsageError(f"unknown type {self.kind!r} in a form; one of {', '.join(_TYPES)}")
        _check_prose("the description of a form's field", self.description)

    def holds(self, value: object) -> bool:
        """Whether the value is of this type."""
        if isinstance(value, bool):
            return self.kind == "boolean"
        return isinstance(value, _TYPES[self.kind])


class Approval(_Part, frozen=True):
    """What must be decided by people before a job ends.

    `approvers` are the names of those who may decide, anyone when empty. It takes `needed`
    approvals by different people; one disapproval ends it, and so do `timeout_s` seconds, None for
    never. Either is a failure, unless `go_on` makes it a success that says `"approved": false`.
    `form` names what an approval tells, and `message` says what it is about.
    """

    approvers: tuple[str, ...] = ()
    needed: int = 1
    timeout_s: float | None = APPROVAL_TIMEOUT_S
    go_on: bool = False
    form: Mapping[str, FormField] = {}
    message: str = ""

    def __post_init__(self) -> None:
        """Raises `UsageError` when a bound is broken."""
        _check_list("approvers", self.approvers)
        if len(self.approvers) > APPROVERS_MAX:
            raise UsageError(
                f"{len(self.approvers)} approvers are too many; at most {APPROVERS_MAX}"
            )
        for name in self.approvers:
            bounded_text("name of an approver", name, NAME_BYTES_MAX)
        self._check_needed()
        if self.timeout_s is not None:
            _check_timeout(self.timeout_s)
        if len(self.form) > FORM_FIELDS_MAX:
            raise UsageError(f"a form of {len(self.form)} fields is too long; {FORM_FIELDS_MAX}")
        for name in self.form:
            bounded_text("name of a form's field", name, NAME_BYTES_MAX)
        _check_prose("the message of an approval", self.message)

    def _check_needed(self) -> None:
        check_whole_number("the number of approvals", self.needed)
        if not 1 <= self.needed <= APPROVERS_MAX:
            raise UsageError(f"{self.needed} approvals will not do; from 1 to {APPROVERS_MAX}")
        if self.approvers and self.needed > len(set(self.approvers)):
            raise UsageError(
                f"{self.needed} approvals cannot come from {len(set(self.approvers))} approvers;"
                " name more of them, or need fewer"
            )


def _check_list(what: str, names: object) -> None:
    if not isinstance(names, tuple | list):
        raise UsageError(f"{what} are a list of names, not {names!r}")


def _check_timeout(timeout_s: object) -> None:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        raise UsageError(f"the timeout of an approval is a number of seconds, not {timeout_s!r}")
    if not 0 < timeout_s <= TIMEOUT_S_MAX or not math.isfinite(timeout_s):
        raise UsageError(
            f"an approval that waits {timeout_s:g} s will not do;"
            f" above 0 and at most {TIMEOUT_S_MAX:.0f}, or null for as long as it takes"
        )


def _check_prose(what: str, text: Any) -> None:  # noqa: ANN401 - said by a user
    check_text(what, text)
    if text:
        bounded_text(what.removeprefix("the "), text, MESSAGE_BYTES_MAX)
