"""Ids: UUIDv7, so that ids sort by the time they were made and indexes grow at one end.

The one module that reads the wall clock and the system's entropy for them. Who needs ids without
either (the simulator) passes another maker; who must come to the same id as somebody else derives
it.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLIS_SHIFT = 80
_MILLIS_MASK = (1 << 48) - 1
_VERSION = 7 << 76
_VARIANT = 2 << 62
_RAND_A_BITS = 12
_RAND_B_MASK = (1 << 62) - 1


class IdMaker:
    """Makes UUIDv7s (RFC 9562, section 5.7) that strictly increase within this maker.

    The 12 bits after the milliseconds count the ids of one millisecond; when they run out, the
    next millisecond is borrowed. Safe to call from several threads.
    """

    def __init__(
        self,
        *,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        random_bits: Callable[[], int] = lambda: int.from_bytes(os.urandom(8), "big"),
    ) -> None:
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._last = 0
        self._lock = threading.Lock()

    def __call__(self) -> UUID:
        """The next id."""
        with self._lock:
            self._last = max(self._now_ms() << _RAND_A_BITS, self._last + 1)
            millis, count = divmod(self._last, 1 << _RAND_A_BITS)
        low = self._random_bits() & _RAND_B_MASK
        return UUID(int=(millis << _MILLIS_SHIFT) | _VERSION | (count << 64) | _VARIANT | low)


new_id = IdMaker()


def new_secret() -> str:
    """32 bytes that nobody can guess, as 64 hexadecimal digits."""
    return os.urandom(32).hex()


def derived_id(moment: datetime, *facts: object) -> UUID:
    """The UUIDv7 that everybody makes of the same moment and the same facts, given as text."""
    millis = (moment - _EPOCH) // timedelta(milliseconds=1) & _MILLIS_MASK
    return _hashed(millis, [moment.astimezone(UTC).isoformat(), *map(str, facts)])


def child_id(parent: UUID, *facts: object) -> UUID:
    """The UUIDv7 that everybody makes of the same facts about a child of `parent`.

    It is as old as the parent's, so that it sorts behind it and needs no clock.
    """
    return _hashed(parent.int >> _MILLIS_SHIFT, [str(parent), *map(str, facts)])


def _hashed(millis: int, facts: Sequence[str]) -> UUID:
    text = "\x00".join(facts)
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    count = int.from_bytes(digest[:8], "big") >> (64 - _RAND_A_BITS)
    low = int.from_bytes(digest[8:], "big") & _RAND_B_MASK
    return UUID(int=(millis << _MILLIS_SHIFT) | _VERSION | (count << 64) | _VARIANT | low)
