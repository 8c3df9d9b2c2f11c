"""What our programs tell Python's garbage collector; nothing is told it for who embeds us."""

import gc
from typing import Final

YOUNG_MAX: Final = 10_000
"""So many objects are made, more than are let go of, before the collector looks for circles."""


def settle() -> None:
    """What was imported by now stays for good, and what comes and goes has few circles.

    By default the collector looks at what is young every 117 jobs, for there are six objects to
    each, and now and then at all modules there are: 70 ms in which nothing else is done.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_MAX)
