"""The plugin for pytest: found by itself, and nothing to those who do not use it."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

CONFTEST = """
    import pytest

    from trioworker import App

    app = App()

    @app.job
    async def greet(name: str) -> str:
        return f"hello {name}"

    @pytest.fixture
    def trioworker_app():
        return app
"""


def run_pytest(folder: Path, **files: str) -> str:
    """What pytest says about these files, all of whose tests pass; a warning is a failure."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(dedent(text), "utf-8")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-rA"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "warning" not in ended.stdout.lower()
    return ended.stdout


def test_the_fixtures_are_there_without_a_word(tmp_path: Path) -> None:
    """A queue for each test, over the app that a conftest names; on asyncio and on Trio."""
    said = run_pytest(
        tmp_path,
        conftest=CONFTEST,
        test_jobs="""
            import pytest

            from trioworker import UsageError

            @pytest.mark.anyio
            async def test_greets(trioworker_queue):
                await trioworker_queue.enqueue("greet", ["you"])
                (job,) = await trioworker_queue.drain()
                assert job.result == "hello you"

            @pytest.mark.anyio
            async def test_another_queue(trioworker_queue):
                trioworker_queue.enqueued("greet", count=0)
                with pytest.raises(UsageError, match="unknown job"):
                    await trioworker_queue.enqueue("greet you")
        """,
    )
    assert "4 passed" in said


def test_without_an_app_the_queue_keeps_what_it_is_given(tmp_path: Path) -> None:
    """A program that only enqueues has no app to check against."""
    said = run_pytest(
        tmp_path,
        test_jobs="""
            import pytest

            @pytest.mark.anyio
            async def test_keeps(trioworker_queue):
                await trioworker_queue.enqueue("greet", {"name": "you"})
                trioworker_queue.enqueued("greet", {"name": "you"})
        """,
    )
    assert "2 passed" in said


def test_whoever_uses_no_fixture_of_ours_pays_nothing(tmp_path: Path) -> None:
    """The package is not even imported."""
    said = run_pytest(
        tmp_path,
        test_other="""
            import sys

            def test_nothing_is_imported():
                assert "trioworker_pytest" in sys.modules
                assert "trioworker" not in sys.modules
        """,
    )
    assert "1 passed" in said


def test_our_own_tests_have_the_plugin_too(request: pytest.FixtureRequest) -> None:
    """It is loaded once, by its entry point."""
    plugins = request.config.pluginmanager.list_name_plugin()
    assert [name for name, plugin in plugins if "trioworker_pytest" in repr(plugin)] == [
        "trioworker"
    ]
