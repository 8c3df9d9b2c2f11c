"""Scripts are deployed, version by version."""

from itertools import pairwise

import pytest
import trio

from trioworker.client import Client, open_client
from trioworker.errors import UnknownScript, UsageError

TEXT = "# requirements: answer<2\ndef main(): return 1\n"


async def test_a_script_gets_a_new_version_when_it_changes(database_url: str) -> None:
    """And none when it is as it was, in all that makes it this script."""
    async with open_client(database_url) as client:
        found = [
            await client.scripts.deploy("a.py", text, dedicated=dedicated, by="ann")
            for text, dedicated in [
                ("1", False),
                ("1", False),
                ("2", False),
                ("2", True),
                ("1", False),
            ]
        ]
        assert [(one.version, one.new) for one in found] == [
            (1, True), (1, False), (2, True), (3, True), (4, True),
        ]  # fmt: skip
        versions = await client.scripts.versions("a.py")
        assert [one.version for one in versions] == [4, 3, 2, 1]
        assert (versions[1].dedicated, versions[1].created_by, versions[1].size) == (True, "ann", 1)
        assert [await client.scripts.content("a.py", n) for n in (1, 2)] == ["1", "2"]
        await client.scripts.deploy("b.mjs", "x")
        assert [(one.path, one.version) for one in await client.scripts.list()] == [
            ("a.py", 4), ("b.mjs", 1),
        ]  # fmt: skip


async def test_what_it_requires_is_a_job(database_url: str) -> None:
    """One for each new version that no lock is known for."""
    async with open_client(database_url) as client:
        first = await client.scripts.deploy("a.py", TEXT)
        assert first.dependencies is not None
        job = await client.job(first.dependencies)
        assert (job.kind, job.path, job.tag, job.args) == (
            "dependencies", "a.py", "dependencies", {"version": 1},
        )  # fmt: skip
        assert (await client.scripts.deploy("a.py", TEXT)).dependencies is None
        assert (await client.scripts.deploy("a.py", TEXT + "#")).dependencies is not None
        assert (await client.scripts.deploy("a.py", "")).dependencies is None


async def test_two_who_deploy_at_once_make_two_versions(database_url: str) -> None:
    """Or one, when both deploy the same; none of them is lost."""
    async with open_client(database_url) as client, trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(client.scripts.deploy, "a.py", str(number // 2))
    async with open_client(database_url) as client:
        versions = await client.scripts.versions("a.py")
        texts = [await client.scripts.content("a.py", one.version) for one in versions]
    assert [one.version for one in versions] == list(range(len(versions), 0, -1))
    assert {*texts} == {*map(str, range(6))}
    assert all(one != other for one, other in pairwise(texts))


async def test_what_is_not_deployed_is_unknown(database_url: str) -> None:
    """In a line that says where to look."""
    async with open_client(database_url) as client:
        with pytest.raises(UnknownScript, match="there is no deployed script 'a'; `trioworker"):
            await client.scripts.versions("a")
        with pytest.raises(UnknownScript, match="there is no version 2 of a script 'a'"):
            await client.scripts.content("a", 2)
        with pytest.raises(UnknownScript):
            await client.scripts.versions("a\x00")
        with pytest.raises(UsageError, match="the end of 'a' names no language"):
            await client.scripts.deploy("a", "x")


async def test_a_queue_in_memory_has_none() -> None:
    """And says so."""
    client = Client(None, None, None)  # type: ignore[arg-type]  # nothing is asked
    with pytest.raises(UsageError, match="a queue in memory has no deployed scripts"):
        _ = client.scripts
