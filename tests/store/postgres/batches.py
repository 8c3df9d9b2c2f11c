"""The arguments of the hot statements, for batches of any size on a queue of any depth."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.store.postgres.backlog import WORKER, Depth, claims_of
from trioworker.ids import new_id

BATCHES: Final = (1, 100, 1000)


def pull(_depth: Depth, batch: int, tag: str = "deep") -> Sequence[object]:
    """The arguments of a pull."""
    return [new_id(), WORKER, batch, [tag], [], [], [], [], 3, [0]]


def commit(depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of a commit of successes."""
    ids = depth.held_ids(batch)
    return [WORKER, claims_of(batch), ids, [1] * batch, [], ["1"] * batch, [], [0.5] * batch,
            [1] * batch, [], []]  # fmt: skip


def commit_retries(depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of a commit of jobs that all go back to ready."""
    ids, nothing = depth.held_ids(batch), [None] * batch
    return [WORKER, claims_of(batch), ids, [1] * batch, nothing, nothing, nothing, [0.5] * batch,
            [1] * batch, [9.0] * batch, [True] * batch]  # fmt: skip


def enqueue(_depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of an enqueue."""
    ids, nothing = sorted(new_id() for _ in range(batch)), [None] * batch
    return [ids, ["noop"] * batch, ["p"] * batch, ["{}"] * batch, ["deep"] * batch, [0] * batch,
            nothing, nothing, [False] * batch, [""] * batch, nothing]  # fmt: skip


def keys(batch: int) -> list[str]:
    """Unique keys of jobs that are ready."""
    return [f"key {n}" for n in range(1, batch + 1)]


def take_keys(depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of an enqueue that takes keys."""
    nothing, during = [None] * batch, ["unfinished"] * batch
    sorts = ["unique"] * batch
    return [sorts, keys(batch), depth.ready_ids(batch), during, nothing, nothing, 60.0]


def store_flows(depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of a statement that moves flows."""
    ids = depth.flow_ids(batch)
    return [ids, ids, ["p"] * batch, [1] * batch, ["{}"] * batch, [1] * batch, [0] * batch,
            [None] * batch]  # fmt: skip


def end_flows(depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of a statement that ends flows."""
    ids, nothing = depth.flow_ids(batch), [None] * batch
    return [ids, ["success"] * batch, ["1"] * batch, nothing, [1] * batch, [0] * batch, WORKER]


def store_steps(depth: Depth, batch: int) -> Sequence[object]:
    """The arguments of a statement that stores results of steps."""
    ids = depth.held_ids(batch)
    return [WORKER, claims_of(batch), ids, [1] * batch, ["s"] * batch, ["1"] * batch]


ARGUMENTS: Final[Mapping[str, Callable[[Depth, int], Sequence[object]]]] = {
    "pull": pull,
    "commit": commit,
    "enqueue": enqueue,
    "key_holders": lambda depth, batch: [depth.ready_ids(batch), ["unique"] * batch, keys(batch)],
    "replace_jobs": lambda depth, batch: [depth.ready_ids(batch), depth.held_ids(batch)],
    "take_keys": take_keys,
    "forget_keys": lambda _, batch: [["unique"] * batch, keys(batch), [False] * batch, 60.0],
    "find_stored": lambda depth, batch: [WORKER, depth.completed_ids(batch), [1] * batch],
    "ended_jobs": lambda depth, batch: [depth.completed_ids(batch)],
    "hold_parents": lambda depth, batch: [
        WORKER,
        claims_of(batch),
        depth.held_ids(batch),
        [1] * batch,
        [1] * batch,
    ],
    "known_children": lambda depth, batch: [
        depth.ready_ids(batch),
        depth.held_ids(batch),
        ["noop"] * batch,
        ["p"] * batch,
        ["{}"] * batch,
    ],
    "child_ends": lambda depth, batch: [depth.completed_ids(batch)],
    "own_children": lambda depth, batch: [WORKER, depth.ready_ids(batch)],
    "store_steps": store_steps,
    "lock_flows": lambda depth, batch: [depth.flow_ids(batch)],
    "read_flows": lambda depth, batch: [depth.flow_ids(batch)],
    "ended_steps": lambda depth, batch: [depth.completed_ids(batch)],
    "store_flows": store_flows,
    "end_flows": end_flows,
    "hand_over": lambda depth, batch: [new_id(), WORKER, depth.ready_ids(batch)],
    "end_stranded": lambda depth, batch: [depth.ready_ids(batch), "{}"],
    "kept_flows": lambda depth, batch: [WORKER, depth.flow_ids(batch)],
    "restart_flows": lambda depth, batch: [depth.flow_ids(batch), [True] * batch],
    "cancel_unstarted": lambda depth, batch: [depth.ready_ids(batch), "enough", []],
}
