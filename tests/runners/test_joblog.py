"""The bounded text that a job may write."""

from hypothesis import given
from hypothesis import strategies as st

from trioworker.runners.joblog import JobLog


@given(st.lists(st.text()), st.integers(2, 40))
def test_what_fits_is_kept_and_what_does_not_loses_its_middle(
    texts: list[str], chars_max: int
) -> None:
    """Beginning and end are there, the middle is counted, and memory is bounded."""
    log = JobLog(chars_max)
    for text in texts:
        log.write(text)
    whole = "".join(texts).replace("\x00", "\ufffd")
    if len(whole) <= chars_max:
        assert log.text() == whole
    else:
        head, tail = whole[: chars_max // 2], whole[-(chars_max - chars_max // 2) :]
        dropped = len(whole) - chars_max
        assert log.text() == f"{head}\n… {dropped:,} characters left out …\n{tail}"


@given(st.lists(st.tuples(st.text(), st.booleans(), st.booleans())), st.integers(2, 40))
def test_the_pieces_and_the_rest_are_the_whole_log(
    written: list[tuple[str, bool, bool]], chars_max: int
) -> None:
    """Whatever was offered and accepted meanwhile: each piece is the last word on its number."""
    log = JobLog(chars_max)
    stored: dict[int, str] = {}
    for text, offered, accepted in written:
        log.write(text)
        if offered and (piece := log.offer()):
            stored[log.chunk] = piece
            if accepted:
                log.accept()
    stored[log.chunk] = log.rest()
    assert "".join(stored[chunk] for chunk in sorted(stored)) == log.text()


def test_what_is_written_after_an_offer_is_in_the_next_one() -> None:
    """Also when it was written before the offer was accepted."""
    log = JobLog()
    log.write("one")
    log.offer()
    log.write("two")
    log.accept()
    assert (log.chunk, log.offer(), log.rest()) == (1, "two", "two")


def test_an_offer_is_text_that_a_database_takes() -> None:
    """One job's half of a character must not keep back what others wrote."""
    log = JobLog()
    log.write("half \ud800")
    assert log.offer() == "half ?"
    assert (log.rest(), log.text()) == ("half ?", "half ?")
