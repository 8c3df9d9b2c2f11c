"""What a decision about an approval leads to.

    what comes                               what the approval's job becomes
    ---------------------------------------  -----------------------------------------------
    an approval, more are needed             it goes on waiting
    the last approval that was needed        success, with the forms of all approvals
    a disapproval                            failure; success with "approved": false if the
    nothing until its timeout                approval says that the flow goes on

Rule of this file: pure. A decision that may not be made is refused in words for whoever made it,
and changes nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from trioworker.errors import MayNotDecide, NothingToDecide, UsageError
from trioworker.model.bounds import bounded_text
from trioworker.model.flow_approval import NAME_BYTES_MAX, Approval, FormField
from trioworker.model.outcome import Failed, JobError, Succeeded

FORM_BYTES_MAX: Final = 64 * 1024

_encode: Final = msgspec.json.Encoder().encode


class Decision(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one person says about an approval; `by` is who, `form` what they filled in."""

    by: str
    approve: bool
    form: Mapping[str, Any] = {}


class ApprovalResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an approval's job, for the steps after it.

    `by` are those who approved, or the one who did not, in the order of their decisions; nobody
    when time ran out. `form` has what all of them filled in, and of two values the later one.
    """

    approved: bool
    by: Sequence[str]
    form: Mapping[str, Any]
    reason: str = ""


def decided(
    approval: Approval, so_far: Sequence[Decision], decision: Decision
) -> Succeeded | Failed | None:
    """How the approval ends with `decision`, after those `so_far`; None while it goes on waiting.

    Raises `UsageError` for a decision that cannot be taken.
    """
    _check(approval, so_far, decision)
    decisions = [*so_far, decision]
    if not decision.approve:
        reason = f"{decision.by} disapproved"
        return _refusal(approval, "Disapproved", reason, [decision.by], decision.form)
    if len(decisions) < approval.needed:
        return None
    form: dict[str, Any] = {}
    for each in decisions:
        form |= each.form
    by = [each.by for each in decisions]
    return Succeeded(_encode(ApprovalResult(approved=True, by=by, form=form)))


def undecided(approval: Approval, approved: int) -> Succeeded | Failed:
    """How the approval ends when its time has run out and so many have approved."""
    assert approval.timeout_s is not None
    came = f"{approved} of {approval.needed} approval{'s' * (approval.needed > 1)}"
    reason = f"{came} came within {approval.timeout_s:g} s"
    return _refusal(approval, "ApprovalTimeout", reason, [], {})


def _refusal(
    approval: Approval, name: str, reason: str, by: Sequence[str], form: Mapping[str, Any]
) -> Succeeded | Failed:
    if not approval.go_on:
        return Failed(JobError(name, reason))
    return Succeeded(_encode(ApprovalResult(approved=False, by=by, form=form, reason=reason)))


def _check(approval: Approval, so_far: Sequence[Decision], decision: Decision) -> None:
    bounded_text("name of who decides", decision.by, NAME_BYTES_MAX)
    if approval.approvers and decision.by not in approval.approvers:
        raise MayNotDecide(
            f"{decision.by!r} may not decide about this approval;"
            f" one of {', '.join(approval.approvers)} may"
        )
    if any(decision.by == each.by for each in so_far):
        raise NothingToDecide(f"{decision.by!r} has already decided about this approval")
    for name, value in decision.form.items():
        _check_field(approval.form, name, value)
    if decision.approve:
        for name, field in approval.form.items():
            if field.required and decision.form.get(name) is None:
                raise UsageError(f"the form lacks {name!r}; an approval must tell it")
    if len(_encode(decision.form)) > FORM_BYTES_MAX:
        raise UsageError(f"the form is too large; at most {FORM_BYTES_MAX:,} bytes")


def _check_field(form: Mapping[str, FormField], name: str, value: object) -> None:
    field = form.get(name)
    if field is None:
        known = f"one of {', '.join(form)}" if form else "this approval has none"
        raise UsageError(f"the form has no field {name!r}; {known}")
    if value is not None and not field.holds(value):
        raise UsageError(f"the field {name!r} of the form is a {field.kind}, not {value!r}")
