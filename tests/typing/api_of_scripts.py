"""What type checkers know of deployed scripts; nothing here is run."""

from collections.abc import Sequence
from typing import Any, assert_type
from uuid import UUID

from trioworker import Client, Deployed, Scripts, ScriptVersion, UnknownScript


async def scripts(client: Client, job: UUID) -> None:
    """What a client says of them."""
    assert_type(client.scripts, Scripts)
    done = await client.scripts.deploy("a.py", "print()", language="python", dedicated=True)
    assert_type(done, Deployed)
    assert_type(done.dependencies, UUID | None)
    assert_type(await client.scripts.list(), Sequence[ScriptVersion])
    assert_type(await client.scripts.versions("a.py"), Sequence[ScriptVersion])
    assert_type(await client.scripts.content("a.py", 1), str)
    assert_type(await client.scripts.preprocessed(job), Any)
    await client.scripts.deploy("a.py", b"print()")  # type: ignore[arg-type]  # it is text
    try:
        await client.scripts.versions("a.py")
    except UnknownScript as error:
        assert_type(error, UnknownScript)
