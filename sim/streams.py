"""Chance from one number: every random choice of a run follows from its seed.

Rule of this file: a draw in one place never shifts a draw in another. Two shapes keep it. A
*stream* is a generator of its own per concern (the workload, the latencies, …), for choices made
one after the other. A *keyed draw* has no state at all: it follows from the seed, the place and how
many times that place was passed before. So a fault that is removed leaves every other fault where
it was, and that is what lets a plan of faults be shrunk.
"""

import struct
from hashlib import blake2b
from random import Random
from typing import Final

DRAWS: Final = 8
_unpack = struct.Struct(f"<{DRAWS}Q").unpack
_MANTISSA_SHIFT: Final = 64 - 53
_UNIT: Final = 2.0**-53


class Streams:
    """The named random streams of one run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._streams: dict[str, Random] = {}

    def stream(self, name: str) -> Random:
        """The stream of this name: made at the first call, the same object afterwards.

        `Random` hashes a text seed with SHA-512 and not with `hash()`, so that it is the same in
        every process.
        """
        if name not in self._streams:
            self._streams[name] = Random(f"{self.seed}/{name}")
        return self._streams[name]


def draws(seed: int, place: str, ordinal: int) -> tuple[float, ...]:
    """`DRAWS` independent floats in [0, 1) for the `ordinal`-th passing of a place.

    Asked for at each simulated statement, so all come from one digest, eight bytes each, of which
    the 53 highest bits fill a float's mantissa.
    """
    digest = blake2b(f"{seed}/{place}/{ordinal}".encode()).digest()
    return tuple([(number >> _MANTISSA_SHIFT) * _UNIT for number in _unpack(digest)])
