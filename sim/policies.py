"""Jobs with a policy of retries, and some with a deadline.

Those of stories do nothing but fail, each time they are run; `DRAWN` are those that seeds draw.
"""

from collections.abc import Mapping
from typing import Final

from trioworker.model.options import RetryPolicy

_TWICE: Final = RetryPolicy(attempts=2, delay_s=0.1, jitter=0.0)

POLICIES: Final[Mapping[str, RetryPolicy]] = {
    "fail thrice": RetryPolicy(attempts=3, delay_s=0.1),
    "fail once": RetryPolicy(attempts=1),
    "fail as meant": RetryPolicy(attempts=2, delay_s=0.1, only=("SimError",)),
    "fail as not meant": RetryPolicy(attempts=9, only=("OtherError",)),
    "fail as never meant": RetryPolicy(attempts=9, never=("SimError",)),
    "fail by another policy": RetryPolicy(attempts=9, by_error={"SimError": _TWICE}),
    "fail by no other policy": RetryPolicy(
        attempts=2, delay_s=0.1, by_error={"OtherError": _TWICE}
    ),
}

TWICE: Final = "fail twice"
DRAWN: Final[Mapping[str, RetryPolicy]] = {
    TWICE: RetryPolicy(attempts=4, delay_s=0.2, jitter=0.5),
    "fail for good": RetryPolicy(attempts=3, delay_s=0.1, delay_max_s=0.15, jitter=0.2),
    "hang again": RetryPolicy(attempts=2, delay_s=0.1, only=("Timeout",)),
    "fail until the deadline": RetryPolicy(attempts=20, delay_s=0.3, factor=1.0, jitter=0.9),
    "hang until the deadline": RetryPolicy(attempts=2, never=("Timeout",)),
}
"""What they do is in their names."""
DEADLINES_S: Final = {"fail until the deadline": 2.0, "hang until the deadline": 1.0}
"""From when they were made; the clock of the server may be set, so each has another end, too."""
