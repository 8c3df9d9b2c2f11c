"""What decisions about an approval lead to, and which of them are refused."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.errors import UsageError
from trioworker.model.flow_approval import Approval, FormField
from trioworker.model.flow_decision import Decision, decided, undecided
from trioworker.model.outcome import Failed, Succeeded

NAMES = ("ann", "bob", "eve")
FORM: Mapping[str, FormField] = {
    "amount": FormField("number", required=True),
    "note": FormField("string"),
    "sure": FormField("boolean"),
}


def yes(by: str, **form: object) -> Decision:
    """An approval."""
    return Decision(by, approve=True, form=form)


def no(by: str, **form: object) -> Decision:
    """A disapproval."""
    return Decision(by, approve=False, form=form)


def result(outcome: Succeeded | Failed | None) -> Any:  # noqa: ANN401 - JSON
    """What the approval's job returns."""
    assert isinstance(outcome, Succeeded)
    return msgspec.json.decode(outcome.result)


def test_one_approval_of_anyone_is_enough_unless_more_are_needed() -> None:
    """The result says who approved, and what they filled in."""
    approval = Approval(form=FORM)
    assert result(decided(approval, [], yes("ann", amount=3, note="fine"))) == {
        "approved": True,
        "by": ["ann"],
        "form": {"amount": 3, "note": "fine"},
        "reason": "",
    }


def test_as_many_are_waited_for_as_are_needed() -> None:
    """And of what they filled in the later value counts."""
    approval = Approval(NAMES, needed=2, form={"note": FormField()})
    first = yes("bob", note="a")
    assert decided(approval, [], first) is None
    told = result(decided(approval, [first], yes("eve", note="b")))
    assert (told["by"], told["form"]) == (["bob", "eve"], {"note": "b"})


def test_one_disapproval_ends_it() -> None:
    """As a failure, or as a success that says so when the flow shall go on."""
    failed = decided(Approval(needed=3), [yes("ann")], no("bob"))
    assert isinstance(failed, Failed)
    assert (failed.error.name, failed.error.message) == ("Disapproved", "bob disapproved")
    told = result(decided(Approval(go_on=True, form=FORM), [], no("bob", note="too dear")))
    assert told == {
        "approved": False,
        "by": ["bob"],
        "form": {"note": "too dear"},
        "reason": "bob disapproved",
    }


def test_time_that_runs_out_ends_it() -> None:
    """In the same two ways."""
    failed = undecided(Approval(needed=2, timeout_s=90), 1)
    assert isinstance(failed, Failed)
    assert failed.error.message == "1 of 2 approvals came within 90 s"
    told = result(undecided(Approval(go_on=True), 0))
    assert (told["approved"], told["by"], told["reason"]) == (
        False,
        [],
        "0 of 1 approval came within 1800 s",
    )


@pytest.mark.parametrize(
    ("decision", "why"),
    [
        (yes("mallory", amount=1), "'mallory' may not decide .*; one of ann, bob, eve may"),
        (yes("ann", amount=1), "'ann' has already decided"),
        (yes("", amount=1), "the name of who decides is empty"),
        (yes("bob"), "the form lacks 'amount'"),
        (yes("bob", amount=None), "the form lacks 'amount'"),
        (yes("bob", amount="3"), "the field 'amount' of the form is a number, not '3'"),
        (yes("bob", amount=True), "is a number, not True"),
        (yes("bob", amount=1, sure=1), "the field 'sure' of the form is a boolean, not 1"),
        (no("bob", other=1), "the form has no field 'other'; one of amount, note, sure"),
        (yes("bob", amount=1, note="x" * 70_000), "the form is too large"),
    ],
)
def test_a_decision_that_cannot_be_taken_is_refused(decision: Decision, why: str) -> None:
    """With the reason, and nothing is decided by it."""
    with pytest.raises(UsageError, match=why):
        decided(Approval(NAMES, needed=2, form=FORM), [yes("ann", amount=1)], decision)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"needed": 0}, "0 approvals will not do; from 1 to 100"),
        ({"needed": True}, "the number of approvals is a whole number"),
        ({"approvers": ("ann", "ann"), "needed": 2}, "2 approvals cannot come from 1 approvers"),
        ({"approvers": ("",)}, "the name of an approver is empty"),
        ({"approvers": "ann"}, "approvers are a list of names, not 'ann'"),
        ({"approvers": ("a",) * 101}, "101 approvers are too many; at most 100"),
        ({"timeout_s": 0}, "an approval that waits 0 s will not do"),
        ({"timeout_s": float("nan")}, "an approval that waits nan s will not do"),
        ({"timeout_s": "1"}, "the timeout of an approval is a number of seconds, not '1'"),
        ({"form": {"": FormField()}}, "the name of a form's field is empty"),
        ({"form": {str(n): FormField() for n in range(51)}}, "a form of 51 fields is too long"),
        ({"message": "x" * 9_000}, "the message of an approval is too long"),
        ({"message": 1}, "the message of an approval is text, not 1"),
    ],
)
def test_an_approval_keeps_its_bounds(wrong: dict[str, Any], why: str) -> None:
    """What could never be decided is said at once."""
    with pytest.raises(UsageError, match=why):
        Approval(**wrong)


def test_a_form_is_made_of_known_types() -> None:
    """Of those that JSON tells apart."""
    with pytest.raises(UsageError, match="unknown type 'date' in a form; one of string, number"):
        FormField("date")  # type: ignore[arg-type]  # the mistake that is refused


def test_it_is_stored_as_it_is_said() -> None:
    """Its JSON has `type` for what a field is, and nothing that is left out."""
    approval = Approval(("ann",), timeout_s=None, form={"n": FormField("number")})
    stored = msgspec.json.encode(approval)
    assert msgspec.json.decode(stored) == {
        "approvers": ["ann"],
        "timeout_s": None,
        "form": {"n": {"type": "number"}},
    }
    assert msgspec.json.decode(stored, type=Approval) == approval


@given(st.permutations([*NAMES, "dan", "joe"]), st.integers(1, 5))
def test_it_ends_with_the_last_needed_approval(order: Sequence[str], needed: int) -> None:
    """Neither before, nor later."""
    approval = Approval(needed=needed)
    ends = [decided(approval, [yes(by) for by in order[:n]], yes(order[n])) for n in range(needed)]
    assert [end is not None for end in ends] == [False] * (needed - 1) + [True]
