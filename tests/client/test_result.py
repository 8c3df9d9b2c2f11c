"""The result of a job, or the reason why there is none."""

import pytest

from tests.client.harness import Held, do, on_both, working
from trioworker import App, Cancel, JobFailed, UnknownJob, WaitTimeout, new_id, open_client


@pytest.mark.parametrize(
    "value", [None, 0, "ž\n", [1, 2.5, {"deep": None}], {"a": [], "b": True}, "x" * 100_000]
)
@on_both
async def test_a_result_comes_back_as_it_was_returned(database_url: str, value: object) -> None:
    """Whatever JSON can hold."""
    app = App()

    @app.job
    async def give() -> object:
        return value

    async with open_client(database_url) as client:
        job = await client.enqueue("give", awaited=True)
        with working(database_url, app):
            assert await client.result(job) == value
        assert await client.result(job, timeout_s=0) == value


@on_both
async def test_a_failure_is_raised_where_the_result_is_asked_for(database_url: str) -> None:
    """With the name, the reason and the traceback of what the job raised."""
    async with open_client(database_url) as client:
        job = await client.enqueue("fail", {"why": "no such luck"})
        with working(database_url, Held().app), pytest.raises(JobFailed) as caught:
            await client.result(job)
    failed = caught.value
    assert str(failed) == f"job {job} ended as failure: ValueError: no such luck"
    assert (failed.job, failed.status) == (job, "failure")
    assert (failed.name, failed.reason) == ("ValueError", "no such luck")
    assert failed.traceback is not None
    assert failed.traceback.endswith("ValueError: no such luck\n")


@on_both
async def test_a_job_that_cancelled_itself_has_no_result(database_url: str) -> None:
    """The status says that it is no failure."""
    app = App()

    @app.job
    async def give_up() -> None:
        raise Cancel("nothing to do")

    async with open_client(database_url) as client:
        job = await client.enqueue("give_up")
        with working(database_url, app), pytest.raises(JobFailed) as caught:
            await client.result(job)
    assert (caught.value.status, caught.value.reason) == ("canceled", "nothing to do")
    assert caught.value.traceback is None


@on_both
async def test_a_job_that_was_cancelled_unstarted_has_no_result(database_url: str) -> None:
    """The reason is the one that was given."""
    async with open_client(database_url) as client:
        job = await client.enqueue("greet")
        await client.cancel([job], "changed my mind")
        with pytest.raises(JobFailed, match="ended as canceled: Cancelled: changed my mind"):
            await client.result(job)


@on_both
async def test_who_asks_for_a_result_waits_as_others_do(database_url: str) -> None:
    """No such job, and no patience."""
    async with open_client(database_url) as client:
        with pytest.raises(UnknownJob):
            await client.result(new_id())
        job = await client.enqueue("greet", delay_s=60)
        with pytest.raises(WaitTimeout, match=f"job {job} is scheduled after 0 s of waiting"):
            await client.result(job, timeout_s=0)


@on_both
async def test_what_another_program_has_stored_is_read_as_well_as_it_goes(
    database_url: str,
) -> None:
    """A number that no float can hold is left as text, and a missing reason is said so."""
    insert = (
        "insert into trioworker.job_completed (id, status, result, attempt) values (%s, %s, %s, 1)"
    )
    async with open_client(database_url) as client:
        vast = await client.enqueue("greet")
        do(database_url, insert, vast, "success", "[1e999]")
        mute = await client.enqueue("greet")
        do(database_url, insert, mute, "failure", None)
        assert str(await client.result(vast)).startswith("[1000000")
        with pytest.raises(JobFailed, match="ended as failure: Unknown: no reason was stored"):
            await client.result(mute)
