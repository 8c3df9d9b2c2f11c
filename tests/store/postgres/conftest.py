"""What the tests of the store share."""

from collections.abc import AsyncIterator

import pytest

from tests.store.postgres.scene import Scene, open_scene


@pytest.fixture
async def scene(database_url: str) -> AsyncIterator[Scene]:
    """A queue of its own for each test."""
    async with open_scene(database_url) as made:
        yield made
