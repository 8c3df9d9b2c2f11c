"""What `import trioworker` offers: all that it names, when it is asked for, and no sooner."""

import subprocess
import sys

import pytest

import trioworker
from trioworker import api


def test_all_names_are_there() -> None:
    """Each is the object that the module of the public names has, and is found by `dir`."""
    assert {name: getattr(trioworker, name) for name in api.__all__} == {
        name: getattr(api, name) for name in api.__all__
    }
    assert set(api.__all__) <= set(dir(trioworker))


def test_a_star_brings_them_all() -> None:
    """As the list of names promises."""
    brought: dict[str, object] = {}
    exec("from trioworker import *", brought)  # noqa: S102 - nothing else runs it inside a test
    assert set(api.__all__) <= set(brought)


def test_a_name_that_is_none_is_refused_as_anywhere() -> None:
    """In the words of Python, as an attribute and in an import."""
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = trioworker.nonsense  # type: ignore[attr-defined]  # on purpose
    with pytest.raises(ImportError, match="cannot import name 'nonsense' from 'trioworker'"):
        from trioworker import nonsense  # type: ignore[attr-defined]  # noqa: F401, PLC0415 - on purpose


def test_nothing_large_is_imported_before_it_is_needed() -> None:
    """The import alone, as the program begins with it, is of the standard library only."""
    said = subprocess.run(
        [sys.executable, "-c", "import sys, trioworker.cli.start; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    outside = {name.partition(".")[0] for name in said} - sys.stdlib_module_names
    assert "trioworker" in outside
    assert not outside & {"trio", "anyio", "asyncpg", "msgspec", "typer", "rich", "structlog"}
