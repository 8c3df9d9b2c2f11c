"""What a user writes jobs with."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from trioworker.app import App, JobContext, JobFunction, load_app
from trioworker.errors import InvalidArguments, UsageError


def test_a_bare_decorator_takes_name_and_flavour_from_the_function() -> None:
    """`async def` runs on Trio, `def` in a thread, both under their own names."""
    app = App()

    @app.job
    async def fetch(url: str) -> str:
        return url

    @app.job
    def shrink(by: int) -> int:
        return by

    assert {name: job.flavour for name, job in app.jobs.items()} == {
        "fetch": "async",
        "shrink": "thread",
    }
    assert isinstance(app.jobs["fetch"], JobFunction)
    assert fetch is app.jobs["fetch"]
    assert repr(shrink).startswith("<job 'shrink': thread ")


def test_keyword_arguments_are_kept_as_the_defaults_of_its_jobs() -> None:
    """What the decorator says is there for whoever enqueues."""
    app = App()

    @app.job(name="mail", flavour="asyncio", tag="slow", priority=3, timeout_s=2.5)
    async def send(to: str) -> str:
        return to

    assert list(app.jobs) == ["mail"]
    assert (send.flavour, send.tag, send.priority, send.timeout_s) == ("asyncio", "slow", 3, 2.5)


def test_a_job_is_still_the_plain_function() -> None:
    """Tests of a user's function need no worker."""
    app = App()

    @app.job
    def double(number: int) -> int:
        """Twice."""
        return 2 * number

    assert double(21) == double(number=21) == 42
    assert double.__doc__ == "Twice."


def test_two_jobs_of_one_name_are_refused() -> None:
    """A name means one function; the message says which two want it."""
    app = App()
    app.job(_one)
    with pytest.raises(
        UsageError, match=r"two jobs are called '_one': .*_one and .*_two; give one"
    ):
        app.job(name="_one")(_two)


@pytest.mark.parametrize(
    ("kwargs", "line"),
    [
        ({"flavour": "async"}, "job '_one': the flavour 'async' does not fit a plain def"),
        ({"flavour": "fiber"}, "job '_one': no flavour 'fiber'; one of async, asyncio, thread,"),
        ({"timeout_s": 0}, "job '_one': a timeout of 0 s will not do; it must be above 0"),
    ],
)
def test_what_a_decorator_cannot_mean_is_refused(kwargs: dict[str, str], line: str) -> None:
    """Mistakes are told where they are written."""
    with pytest.raises(UsageError, match=line):
        App().job(**kwargs)(_one)  # type: ignore[call-overload]  # the point of it


def test_only_functions_with_a_name_that_others_can_find_are_jobs() -> None:
    """A lambda, a class, and a process job inside a function each get their line."""
    app = App()
    with pytest.raises(UsageError, match="a lambda has no name"):
        app.job(lambda: None)
    with pytest.raises(UsageError, match="cannot be a job; only functions can"):
        app.job(Path)

    def inner() -> None:
        pass

    with pytest.raises(UsageError, match="job 'inner': another process cannot find a function"):
        app.job(flavour="process")(inner)
    with pytest.raises(UsageError, match="the flavour 'thread' does not fit an async def"):
        app.job(flavour="thread")(_three)


def test_validate_tells_a_client_what_is_wrong_before_it_enqueues() -> None:
    """Unknown jobs are answered with those there are, bad arguments with the argument."""
    app = App()
    app.job(_two)
    app.validate("_two", '{"number":1}')
    app.validate("_two", b"[1]")
    with pytest.raises(InvalidArguments, match="job '_two': the argument 'number' is missing"):
        app.validate("_two", "{}")
    with pytest.raises(UsageError, match=r"unknown job 'three'; this app has _two$"):
        app.validate("three", "{}")


def test_a_long_list_of_jobs_is_cut() -> None:
    """An app of many jobs does not flood the message."""
    app = App()
    for number in range(25):
        app.job(name=f"job{number:02}")(_one)
    assert app.unknown("x").endswith("job08, job09 and 15 more")
    assert App().unknown("x") == "unknown job 'x'; this app has no jobs"


def test_the_context_is_no_argument() -> None:
    """A parameter annotated with JobContext is the worker's to fill."""
    app = App()

    @app.job
    def report(context: JobContext, number: int) -> None:
        context.log(str(number))

    assert report.signature.wants_context
    with pytest.raises(InvalidArguments, match="no argument 'context'; it takes number"):
        app.validate("report", '{"context":{},"number":1}')


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def write(file: Path, text: str) -> None:
    """Write a module."""
    file.write_text(dedent(text))


def test_an_app_is_loaded_from_the_current_folder(folder: Path) -> None:
    """`tasks:app` means app in tasks.py, here."""
    write(
        folder / "apptasks.py",
        """
        from trioworker.app import App
        app = App()
        @app.job
        def hello(): ...
        """,
    )
    assert list(load_app("apptasks:app").jobs) == ["hello"]


@pytest.mark.parametrize(
    ("text", "target", "line"),
    [
        ("", "tasks", "'tasks' does not name an app; write module:attribute, as tasks:app"),
        ("", ":app", "':app' does not name an app; write module:attribute, as tasks:app"),
        ("", "nowhere:app", "there is no module 'nowhere' here or on Python's path"),
        ("", "bad.deeper:app", "there is no module 'bad.deeper' here or on Python's path"),
        ("x = 1", "bad:app", "module 'bad' has no attribute 'app'"),
        ("app = 1", "bad:app", "'bad:app' is of type int, not a trioworker App"),
        (
            "from trioworker.app import App\nmine = App()",
            "bad:app",
            "module 'bad' has no attribute 'app'; it has bad:mine",
        ),
        (
            "import nowhere_else",
            "bad:app",
            "importing 'bad' failed: ModuleNotFoundError: No module named 'nowhere_else' (bad",
        ),
        (
            "def f():\n    raise ValueError('no\\nway')\nf()",
            "bad:app",
            "importing 'bad' failed: ValueError: no (bad.py:2)",
        ),
        ("x = = 1", "bad:app", "importing 'bad' failed: SyntaxError: invalid syntax (bad.py:1)"),
        ("raise SystemExit", "bad:app", "importing 'bad' failed: SystemExit (bad.py:1)"),
        (
            "from trioworker.app import App\napp = App()\n@app.job\ndef f(*a): ...",
            "bad:app",
            "job 'f': *a has no name that JSON could give",
        ),
    ],
)
def test_an_app_that_cannot_be_loaded_is_one_line(
    folder: Path, text: str, target: str, line: str
) -> None:
    """Which of the many reasons it is, and where."""
    write(folder / "bad.py", text)
    with pytest.raises(UsageError) as caught:
        load_app(target)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def _one() -> None:
    pass


def _two(number: int) -> int:
    return number


async def _three() -> None:
    pass
