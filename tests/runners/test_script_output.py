"""Lines that tell progress are taken out of what a script prints, however it comes."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from trioworker.model.progress import Progress
from trioworker.runners.joblog import JobLog
from trioworker.runners.script_output import LINE_CHARS_MAX, ScriptOutput

PRINTED = (
    "one\n::progress 0.1\nx ::progress 0.9 in the middle\n::progressive 1\n::\n"
    "::progress\t0.25 \ttabs and ends \r\n::progress\n::progress x\n::progress 0.5 last"
)
LEFT = (
    "one\nx ::progress 0.9 in the middle\n::progressive 1\n::\n::progress\n::progress x\n"
    "trioworker: a progress of 'x' will not do; it goes from 0 to 1\n"
)


def printed(*pieces: str) -> JobLog:
    """The log of what was printed in these pieces."""
    log = JobLog()
    output = ScriptOutput(log)
    for piece in pieces:
        output.write(piece)
    output.close()
    return log


@given(st.lists(st.integers(0, len(PRINTED)), max_size=8).map(sorted))
def test_the_pieces_make_no_difference(cuts: list[int]) -> None:
    """Text is the same, and what is told is the same, wherever it is cut."""
    places = [0, *cuts, len(PRINTED)]
    log = printed(*(PRINTED[a:b] for a, b in pairwise(places)))
    assert (log.text(), log.progress.newest) == (LEFT, Progress(0.5, "last"))


def test_the_note_is_what_follows_but_for_the_blanks_around_it() -> None:
    """Line ends of other systems among them."""
    assert printed("::progress\t0.25 \ttabs and ends \r\n").progress.newest == Progress(
        0.25, "tabs and ends"
    )


def test_what_is_no_line_of_ours_is_not_held_back() -> None:
    """A prompt without a line end is seen at once, and a line without end, too."""
    log = JobLog()
    output = ScriptOutput(log)
    output.write("continue? ")
    assert log.text() == "continue? "
    output.write("\n::progress 0.5 ")
    assert log.text() == "continue? \n"
    output.write("x" * LINE_CHARS_MAX)
    assert len(log.text()) > LINE_CHARS_MAX
    assert log.progress.newest is None
