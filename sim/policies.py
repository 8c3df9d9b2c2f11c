"""Jobs with a policy of retries, for stories; what they do is to fail, each time they are run."""

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
