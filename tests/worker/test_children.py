"""Functions that enqueue children and wait for them, on a real database."""

import pytest

from tests.worker.harness import Rig
from tests.worker.parents import result, work
from trioworker.model.batching import Mode

BOTH = pytest.mark.parametrize("mode", [Mode.WORKER, Mode.AGENT_BATCH])


@BOTH
@pytest.mark.parametrize(
    ("path", "args", "expected"),
    [
        ("sum_of_doubles", '{"count": 10}', 90),
        ("one_by_one", '{"count": 3}', [0, 2, 4]),
        ("side_by_side", '{"count": 5}', {"0": 0, "1": 2, "2": 4, "3": 6, "4": 8}),
        ("deep", '{"depth": 4}', 4),
        ("in_thread", '{"count": 3}', [100, 0, 2, 4]),
        ("on_asyncio", '{"count": 3}', [100, 0, 2, 4]),
        ("hopes", "{}", ["ChildFailed", "int", "boom", "ValueError"]),
    ],
)
async def test_one_slot_is_enough(
    rig: Rig, mode: Mode, path: str, args: str, expected: object
) -> None:
    """A parent that waits holds no slot, at whatever depth, and a drain does not end before it."""
    (job,) = await rig.enqueue(1, path=path, args=args)
    await work(rig, mode=mode, concurrency=1)
    assert result(rig, job) == expected
