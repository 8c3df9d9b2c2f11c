"""Helpers for the tests of whoever writes jobs: no database, no worker, no waiting.

Rule of this package: it uses the checks and the runners of the product, so that what passes here
is called there in the same way. What only a database can decide, it leaves to a database.
"""

from trioworker.testing.clock import FrozenClock
from trioworker.testing.queue import MemoryQueue, run_job

__all__ = ["FrozenClock", "MemoryQueue", "run_job"]
