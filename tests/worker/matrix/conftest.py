"""What the tests of all sorts share."""

from collections.abc import Iterator

import pytest

from tests.worker.matrix.sorts import HOUR_S
from trioworker.model import follow_ups


@pytest.fixture(autouse=True, scope="module")
def _restarts_are_far_apart() -> Iterator[None]:
    """However slow the machine is, no job comes again while a test looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follow_ups, "RESTART_AFTER_S", HOUR_S)
        yield
