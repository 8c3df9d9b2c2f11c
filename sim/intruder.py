"""Somebody with a token of his own who asks in the names of others, and knows all their ids."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Final
from uuid import UUID

import msgspec
import trio

from sim.database.rows import ClaimRow
from sim.network import Network, SimLine
from trioworker.errors import StoreError
from trioworker.model.planner import NO_FLOORS
from trioworker.store import wire

NAME: Final = "intruder"
PAUSES_S: Final = (0.1, 0.8)
PATIENCE_S: Final = 1.0
STOLEN: Final = b'"stolen"'


class Intruder:
    """Tries while there are faults; whatever he gets would be a breach."""

    def __init__(
        self,
        network: Network,
        token: str,
        *,
        rng: Random,
        claims: Callable[[], Sequence[ClaimRow]],
        new_id: Callable[[], UUID],
    ) -> None:
        self._network = network
        self._token = token
        self._rng = rng
        self._claims = claims
        self._new_id = new_id

    async def run(self) -> None:
        """Ask for what others hold, now and then."""
        line = SimLine(self._network, NAME)
        while not self._network.chaos.healed:
            await trio.sleep(self._rng.uniform(*PAUSES_S))
            if claims := self._claims():
                await self._ask(line, self._rng.choice(claims))

    async def _ask(self, line: SimLine, claim: ClaimRow) -> None:
        path, asked = self._rng.choice(self._wishes(claim))
        headers = [(b"authorization", b"Bearer " + self._token.encode())]
        body = msgspec.json.encode(asked)
        with suppress(StoreError):
            await line.ask(wire.PREFIX + path, headers, body, timeout_s=PATIENCE_S)

    def _wishes(self, claim: ClaimRow) -> Sequence[tuple[str, msgspec.Struct]]:
        worker = claim.worker
        which = [
            wire.Which(claim.id, job, attempt)
            for job, attempt in zip(claim.ids, claim.attempts, strict=True)
        ]
        ends = [wire.Sent(one, wire.Result(STOLEN), 0.0, 0.1) for one in which]
        return (
            ("batch_commit", wire.Commit(worker, ends)),
            ("batch_commit", wire.Commit(worker, ends, again=True)),
            ("give_back", wire.GiveBack(worker, which)),
            ("logs", wire.Logs(worker, 9, [wire.Written(one, 0, "forged", None) for one in which])),
            ("batch_pull", wire.Pull(worker, self._new_id(), 5, 1, NO_FLOORS)),
            ("retire", wire.Mine(worker)),
        )
