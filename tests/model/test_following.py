"""What somebody who follows a log is shown."""

from collections.abc import Sequence

from trioworker.model.following import Following, Piece


def shown(following: Following, *pieces: Piece) -> Sequence[str]:
    """The texts that are new, from the pieces that a look brings."""
    wanted = [p for p in pieces if p[:2] >= (following.attempt, following.chunk)]
    return [text.text for text in following.news(wanted)]


def test_each_piece_is_shown_once() -> None:
    """However often it is looked at, in order, attempt after attempt."""
    following = Following()
    assert shown(following) == []
    assert shown(following, Piece(1, 0, "a"), Piece(1, 1, "b")) == ["a", "b"]
    assert shown(following, Piece(1, 0, "a"), Piece(1, 1, "b")) == []
    assert shown(following, Piece(1, 1, "b"), Piece(2, 0, "c")) == ["c"]


def test_of_a_piece_that_has_grown_the_rest_is_shown() -> None:
    """It grows until a flush is known to have stored it."""
    following = Following()
    assert shown(following, Piece(1, 0, "on")) == ["on"]
    assert shown(following, Piece(1, 0, "one"), Piece(1, 1, "two")) == ["e", "two"]


def test_a_run_that_begins_anew_is_shown_from_its_beginning() -> None:
    """What the run before it wrote in the same attempt is gone."""
    following = Following()
    shown(following, Piece(1, 0, "a"), Piece(1, 1, "b"))
    assert shown(following, Piece(1, 0, "x")) == []
    assert shown(following, Piece(1, 0, "x")) == ["x"]


def test_what_is_written_anew_in_the_first_piece_is_shown_at_once() -> None:
    """All of it is there, and the job may have ended: then there is no other look."""
    following = Following()
    shown(following, Piece(1, 0, "a"))
    assert shown(following, Piece(1, 0, "x")) == ["x"]
    assert shown(following, Piece(1, 0, "yz"), Piece(1, 1, "u")) == ["yz", "u"]
