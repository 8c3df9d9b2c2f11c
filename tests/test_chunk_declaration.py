"""What may be said about a chunk function, and what may not."""

from dataclasses import dataclass

import pytest

from trioworker.app import App
from trioworker.errors import InvalidArguments, UsageError


@dataclass
class Mail:
    """The arguments of a job."""

    to: str


def test_a_chunk_function_is_still_the_plain_function() -> None:
    """Called with a list, it returns one; its jobs are checked one by one."""
    app = App()

    @app.job(chunk=100, linger_s=0.5, tag="mail")
    def send(calls: list[Mail]) -> list[str]:
        return [call.to for call in calls]

    assert send([Mail("a"), Mail("b")]) == ["a", "b"]
    assert send.chunking is not None
    assert (send.chunking.size, send.chunking.linger_s, send.tag) == (100, 0.5, "mail")
    app.validate("send", '{"to":"a"}')
    with pytest.raises(InvalidArguments, match="job 'send': the argument 'to' is missing"):
        app.validate("send", "{}")


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"chunk": 0}, "job 'send': a chunk of 0 will not do; from 1 to 10000"),
        ({"chunk": 2, "linger_s": -1}, "job 'send': the linger_s of a chunk of -1 will not do"),
        ({"linger_s": 1}, "job 'send': linger_s is how long a chunk waits for more calls; say"),
    ],
)
def test_a_chunk_that_could_never_be_is_refused(said: dict[str, int], line: str) -> None:
    """At the decorator, in one line."""

    def send(calls: list[Mail]) -> list[str]:
        return [call.to for call in calls]

    with pytest.raises(UsageError, match=line):
        App().job(**said)(send)  # type: ignore[call-overload]  # the point of it


def test_a_function_that_takes_no_calls_is_refused_where_it_is_written() -> None:
    """Nothing is registered under its name."""
    app = App()
    with pytest.raises(UsageError, match=r"job 'send': a chunk function takes one parameter, a"):

        @app.job(chunk=10)
        def send(mail: Mail) -> str:
            return mail.to

    assert dict(app.jobs) == {}


def test_a_record_may_be_defined_after_its_function() -> None:
    """Then it is read when the app is complete, and what is wrong with it is told then."""
    app = App()

    @app.job(chunk=10)
    def send(calls: "list[Later]") -> list[str]:
        return [call.to for call in calls]

    app.validate("send", '{"to":"a"}')

    @app.job(chunk=10)
    def lose(calls: "list[Never]") -> list[str]:  # type: ignore[name-defined]  # noqa: F821 - the point of it
        return [call.to for call in calls]

    with pytest.raises(UsageError, match="job 'lose': its type hints cannot be read: name 'Never'"):
        app.check()


@dataclass
class Later:
    """Defined further down than what takes it is called."""

    to: str
