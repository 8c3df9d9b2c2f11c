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
