"""What may be told of a job's progress."""

import math
from decimal import Decimal
from fractions import Fraction

import pytest

from trioworker.errors import UsageError
from trioworker.model.progress import NOTE_BYTES_MAX, Progress, progress_of


@pytest.mark.parametrize("half", [0.5, Fraction(1, 2), Decimal("0.5")], ids=repr)
def test_any_number_from_0_to_1_will_do(half: object) -> None:
    """Both ends included."""
    assert progress_of(half, "half") == Progress(0.5, "half")
    assert (progress_of(0), progress_of(1)) == (Progress(0.0), Progress(1.0))


@pytest.mark.parametrize(
    "bad", [-0.001, 1.001, math.nan, math.inf, Decimal("nan"), "0.5", None, 1j, [1]], ids=repr
)
def test_nothing_else_will(bad: object) -> None:
    """Whatever it is, the line that says so is one line."""
    with pytest.raises(UsageError) as caught:
        progress_of(bad)
    assert str(caught.value) == f"a progress of {bad!r} will not do; it goes from 0 to 1"


def test_a_note_is_bounded_text() -> None:
    """The bound is in bytes; what is shown of one that is too long is short."""
    assert progress_of(0.5, "x" * NOTE_BYTES_MAX).note == "x" * 500
    with pytest.raises(UsageError) as caught:
        progress_of(0.5, "ä" * 251)
    assert str(caught.value) == (f"the note of a progress has 502 bytes, at most 500: '{'ä' * 39}…")
    with pytest.raises(UsageError, match="the note of a progress is text, not b'half'"):
        progress_of(0.5, b"half")


def test_a_note_is_text_that_postgresql_takes() -> None:
    """The rest of it counts more than a character that it cannot store."""
    assert progress_of(0.5, "nul \x00, half \ud800 of 𝄞").note == "nul \ufffd, half \ufffd of 𝄞"
