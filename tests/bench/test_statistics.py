"""The small statistics under the figures."""

import pytest

from trioworker.bench.figures import Samples, ratio, rounded, shown
from trioworker.bench.turns import in_turns


async def test_sides_take_turns_back_and_forth() -> None:
    """Each side is done once per round, and no side is always first."""
    done: list[str] = []

    async def side(name: str) -> int:
        done.append(name)
        return len(done)

    answers = await in_turns(3, {"a": lambda: side("a"), "b": lambda: side("b")})
    assert "".join(done) == "abbaab"
    assert answers == {"a": [1, 4, 5], "b": [2, 3, 6]}


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)])
def test_percentile_is_a_value_that_was_measured(percent: int, value: int) -> None:
    """So many in a hundred do not exceed it, and it is one of them."""
    assert Samples(range(100, 0, -1)).percentile(percent) == value


def test_percentile_of_one_sample_is_that_sample() -> None:
    """A single measurement is every percentile."""
    assert Samples([7.0]).percentile(50) == Samples([7.0]).percentile(99) == 7.0


def test_a_ratio_to_nothing_is_null() -> None:
    """What cannot be said is None, not infinite and not an error."""
    assert ratio(1.0, 0.0) is None
    assert ratio(3.0, 2.0) == 1.5


def test_figures_keep_four_digits() -> None:
    """More digits would be noise; whole numbers and words are left as they are."""
    assert [rounded(f) for f in (1234.567, 0.00123456, 5, None)] == [1235.0, 0.001235, 5, None]


def test_numbers_for_people() -> None:
    """Thousands are set apart, small numbers keep two decimals, nothing is a dash."""
    assert [shown(v) for v in (53_212.4, 4.256, 0.0123, None)] == ["53,212", "4.26", "0.01", "-"]
