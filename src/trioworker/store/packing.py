"""Bodies on their way between an agent and its server, packed where that pays.

Rule of this file: what comes from the other side is unpacked within a bound, for a small body may
be a large one. What a bad one is called is for either side to say.
"""

import gzip
import zlib
from typing import Final, NamedTuple

PACK_FROM_BYTES: Final = 8 * 1024
"""From this size on a body is compressed, where it leaves the host."""
GZIP_WINDOW: Final = 31
"""What zlib calls a stream with a header of gzip's."""


class Unpacked(NamedTuple):
    """What was in a packed body; `whole` says that its end was seen."""

    body: bytes
    whole: bool


def pack(body: bytes | memoryview) -> bytes:
    """The body as gzip has it, rather soon than small."""
    return gzip.compress(body, 1)


def unpack(body: bytes, bytes_max: int) -> Unpacked:
    """The first `bytes_max` bytes of what is in a packed body. Raises `zlib.error` for none."""
    stream = zlib.decompressobj(wbits=GZIP_WINDOW)
    plain = stream.decompress(body, bytes_max)
    return Unpacked(plain, stream.eof)
