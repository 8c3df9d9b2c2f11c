"""Many histories, one after the other, until two sides differ; what they passed through counted.

Rule of this file: Hypothesis makes histories up and does not judge them. PostgreSQL may do
otherwise the next time, which Hypothesis would call a flaky test; so what it did is kept at once,
and leaving out what does not matter is `compare.shrunk`'s, which takes any difference it gets.
"""

import gc
from collections import Counter
from collections.abc import Iterable

from hypothesis import HealthCheck, Phase, given, seed, settings

from sim.differential.answers import Transcript
from sim.differential.compare import Difference, Play, compare
from sim.differential.histories import QUERIES, histories
from sim.differential.history import History


class _Found(BaseException):
    """Ends a run. Not an `Exception`: those Hypothesis would try to see again."""


class _Broken(_Found):
    """The same for a side that has failed itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Exploration:
    """What a run over histories has found.

    `queries` counts the statements that were begun, `errors` how many ended with which error and
    SQLSTATE, `open_ones` the histories in which the model had to be asked more than once.
    """

    def __init__(self) -> None:
        self.difference: Difference | None = None
        self.histories = 0
        self.open_ones = 0
        self.waits = 0
        self.queries: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()

    def count(self, history: History, real: Transcript) -> None:
        """Take in a history as PostgreSQL has seen it."""
        self.histories += 1
        for step, seen in zip(history.steps, real.seen, strict=True):
            if step.what in QUERIES and (
                step.session in seen.ended or step.session in seen.blocked
            ):
                self.queries[step.what] += 1
            self.waits += step.session in seen.blocked
            self.errors.update(str(answer) for answer in seen.ended.values() if answer.is_error)


def explore(
    real: Play,
    *,
    count: int,
    first: Iterable[History] = (),
    about: str | None = None,
    number: int | None = None,
) -> Exploration:
    """Play the histories of `first`, then `count` more.

    They are the same ones each time unless `number` names others. `about` is a query that is to
    come more often.
    """
    found = Exploration()

    def play(history: History) -> None:
        try:
            comparison = compare(real, history)
        except Exception as error:
            raise _Broken(error) from error
        found.count(history, comparison.real)
        found.open_ones += comparison.tries > 1
        if comparison.difference is not None:
            found.difference = comparison.difference
            raise _Found

    @settings(
        max_examples=count,
        derandomize=number is None,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(about))
    def play_more(history: History) -> None:
        play(history)

    frozen_here = gc.get_freeze_count() == 0  # else somebody means it to stay so after us
    gc.freeze()  # each play of the model collects garbage first
    try:
        for history in first:
            play(history)
        (play_more if number is None else seed(number)(play_more))()
    except _Broken as broken:
        raise broken.error from None
    except _Found:
        assert found.difference is not None
    finally:
        if frozen_here:
            gc.unfreeze()
    return found
