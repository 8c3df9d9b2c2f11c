"""Handlers are named where jobs are declared, and what could be none is refused there."""

from typing import cast

import pytest

from trioworker import App, Call, EndedJob, Handler, UsageError
from trioworker.app import JobFunction
from trioworker.model.job_settings import JobSettings, resolve
from trioworker.model.options import JobOptions


def shop(**settings: object) -> App:
    """An app with a job, and with a handler whose tag is its own."""
    app = App(**settings)  # type: ignore[arg-type]  # any of them

    @app.job(tag="urgent", priority=7)
    def tell(ended: EndedJob) -> None:
        del ended

    @app.job
    def pay(amount: int = 0) -> None:
        del amount

    return app


def options(app: App, path: str, kind: str = "function", **said: object) -> JobOptions:
    """What a job of the app comes to."""
    settings = cast("JobSettings", {**app.settings_of(path, kind), **said})
    return resolve(settings, path=path, args=b"{}", handler=app.handler, now=None).options


def test_the_apps_handler_is_for_all_its_jobs() -> None:
    """Functions and scripts; with the tag and the priority of the handler's function."""
    app = shop(on_error="tell")
    app.check()
    told = Handler("tell", "urgent", 7)
    assert options(app, "pay").on_error == told
    assert options(app, "some.sh", "script").on_error == told
    assert options(app, "tell").on_error == told


def test_a_function_and_an_enqueue_may_say_otherwise() -> None:
    """The later of them goes before the earlier, and None means none."""
    app = shop(on_error="tell")

    @app.job(on_error=None, on_success="pay_attention")
    def quiet() -> None: ...

    @app.job
    def pay_attention(ended: EndedJob) -> None:
        del ended

    assert options(app, "quiet").on_error is None
    assert options(app, "quiet").on_success == Handler("pay_attention")
    assert options(app, "quiet", on_error="pay_attention").on_error == Handler("pay_attention")
    assert options(app, "pay", on_error=None).on_error is None
    assert options(app, "pay", muted=True).muted


def test_a_handler_that_does_not_exist_is_told_by_name() -> None:
    """When the app is complete, because the handler may be declared further down."""
    app = shop(on_error="tel")
    with pytest.raises(UsageError, match="a handler: unknown job 'tel'; this app has pay, tell"):
        app.check()
    with pytest.raises(UsageError, match="unknown job 'tel'"):
        options(app, "pay")


def no_argument() -> None:
    """Cannot be told anything."""


def two(ended: EndedJob, more: int) -> None:
    """Wants more than there is."""
    del ended, more


def number(ended: int) -> None:
    """Wants something else."""
    del ended


@pytest.mark.parametrize("function", [no_argument, two, number], ids=lambda f: str(f.__name__))
def test_a_function_that_takes_no_ended_job_is_no_handler(function: object) -> None:
    """One line says what a handler takes, and what is wrong with this one."""
    app = shop()
    job: JobFunction[..., object] = app.job(function)  # type: ignore[call-overload]  # any function
    with pytest.raises(UsageError, match=r"a handler takes one argument, an EndedJob: job '"):
        options(app, "pay", on_error=job.name)


def test_a_handler_may_take_the_facts_as_they_are() -> None:
    """As a dict, or as anything; with a default beside them."""
    app = shop()

    @app.job
    def plain(ended: dict[str, object], more: int = 1) -> None:
        del ended, more

    assert options(app, "pay", on_success="plain").on_success == Handler("plain")


def test_a_chunk_function_is_no_handler() -> None:
    """It takes its arguments by name."""
    app = shop()

    @app.job(chunk=10)
    def many(calls: list[Call[dict[str, object]]]) -> list[object]:
        return [None for _ in calls]

    with pytest.raises(UsageError, match="a handler takes one argument, an EndedJob"):
        options(app, "pay", on_error="many")
