"""The lines between a worker and a host process."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trioworker.model.outcome import Cancelled, Failed, JobError, Retried, Snoozed, Succeeded
from trioworker.runners.framing import (
    LineSplitter,
    LineTooLong,
    cancel_line,
    id_of,
    job_line,
    outcome_of,
    read_reply,
)

lines_of_bytes = st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b"")))


@given(lines_of_bytes, st.binary(max_size=9), st.lists(st.integers(0, 200)))
def test_lines_come_out_whole_wherever_the_stream_is_cut(
    lines: list[bytes], rest: bytes, cuts: list[int]
) -> None:
    """Chunks of any sizes give the same lines; an unfinished one stays inside."""
    stream = b"".join(line + b"\n" for line in lines) + rest.replace(b"\n", b"")
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    splitter = LineSplitter()
    out = [line for start, end in pairwise(places) for line in splitter.feed(stream[start:end])]
    assert out == lines


def test_a_line_without_end_is_refused() -> None:
    """A process that never ends its line costs a bounded amount of memory."""
    splitter = LineSplitter(bytes_max=10)
    assert splitter.feed(b"0123456789\n") == [b"0123456789"]
    splitter.feed(b"0123456789")
    with pytest.raises(LineTooLong, match="a line of more than 10 bytes"):
        splitter.feed(b"0")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.integers(1, 2**53), json_values, st.booleans())
def test_arguments_are_spliced_into_one_line(number: int, value: object, indented: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever JSON text the arguments are, the line is one line and means the same."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2 if indented else -1).decode()
    line = job_line(number, text, '"call":{},')
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line) == {"id": number, "call": {}, "args": value}
    assert id_of(line) == number


def test_a_cancellation_names_its_job() -> None:
    """The host finds the id where it looks for it."""
    assert cancel_line(17) == b'{"cancel":17}\n'


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        (b'{"id":7,"result":{"a":[1, 2]}}', Succeeded(b'{"a":[1, 2]}')),
        (b'{"id":7,"result":null}', Succeeded(b"null")),
        (
            b'{"id":7,"error":{"name":"E","message":"m","traceback":"t"}}',
            Failed(JobError("E", "m", "t")),
        ),
        (b'{"id":7,"error":{"name":"E","message":"m"}}', Failed(JobError("E", "m"))),
        (
            b'{"id":7,"error":{"name":"E","message":"m"},"kinds":["B"],"for_good":true}',
            Failed(JobError("E", "m"), ("B",), for_good=True),
        ),
        (
            b'{"id":7,"error":{"name":"E","message":"m"},"retry_s":1.5}',
            Retried(JobError("E", "m"), 1.5),
        ),
        (b'{"id":7,"snooze_s":2}', Snoozed(2.0)),
        (b'{"id":7,"cancel":"enough"}', Cancelled("enough")),
        (b'{"id":7,"dropped":true}', Cancelled("dropped before it began")),
        (b'{"id":7,"log":"text"}', None),
        (b'{"id":7}', None),
    ],
)
def test_a_reply_says_how_its_job_ended(line: bytes, outcome: object) -> None:
    """Each form of the protocol has one meaning; a result is passed on as it was written."""
    reply = read_reply(line)
    assert reply.id == 7
    assert outcome_of(reply) == outcome


@given(st.binary())
def test_garbage_has_no_id(garbage: bytes) -> None:
    """No bytes at all make the reading of an id fail."""
    assert id_of(b"x" + garbage) == 0
