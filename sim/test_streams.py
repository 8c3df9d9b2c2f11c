"""Streams and keyed draws: one seed, and no choice that shifts another."""

import statistics

from hypothesis import given
from hypothesis import strategies as st

from sim.streams import DRAWS, Streams, draws


def test_a_stream_is_not_shifted_by_others() -> None:
    """One more draw in one stream changes nothing in the next."""
    one, other = Streams(7), Streams(7)
    one.stream("faults").random()
    assert one.stream("load").random() == other.stream("load").random()


def test_a_stream_goes_on() -> None:
    """The same name is the same stream; it does not begin anew."""
    streams = Streams(7)
    assert streams.stream("load") is streams.stream("load")
    assert streams.stream("load").random() != streams.stream("load").random()


def test_streams_differ_by_name_and_seed() -> None:
    """No two of them run in step."""
    firsts = {Streams(seed).stream(name).random() for seed in (1, 2, 12) for name in ("1", "2", "")}
    assert len(firsts) == 9


def test_streams_and_draws_are_what_they_were() -> None:
    """A seed that was written down gives the same run in a later version."""
    assert [Streams(7).stream("load").random(), draws(7, "commit", 0)[0]] == [
        0.8327288163712838,
        0.20965513299829952,
    ]


@given(st.integers(), st.text(), st.integers(min_value=0))
def test_draws_are_in_the_unit_interval(seed: int, place: str, ordinal: int) -> None:
    """Whatever the key, there are eight floats from 0 to below 1, the same each time."""
    drawn = draws(seed, place, ordinal)
    assert len(drawn) == DRAWS
    assert all(0 <= draw < 1 for draw in drawn)
    assert drawn == draws(seed, place, ordinal)


def test_draws_are_uniform_and_independent() -> None:
    """Over many ordinals each index has the moments of a uniform draw, and no two agree."""
    rows = [draws(1, "commit", ordinal) for ordinal in range(4000)]
    for column in zip(*rows, strict=True):
        assert abs(statistics.fmean(column) - 1 / 2) < 0.02
        assert abs(statistics.pvariance(column) - 1 / 12) < 0.01
    assert len({draw for row in rows for draw in row}) == 4000 * DRAWS
    assert abs(statistics.correlation([r[0] for r in rows], [r[1] for r in rows])) < 0.06
