"""The corpus in a real database: pushed, run, decided about, and read again when all has ended."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import psycopg
import trio

from tests.flows.corpus_cases import Case, result_under
from trioworker.errors import UsageError
from trioworker.ids import new_id
from trioworker.model.flow_decision import Decision
from trioworker.store.postgres.approvals import decide
from trioworker.store.postgres.database import Database

PUSH: Final = "insert into trioworker.flow (path, version, definition) values (%s, 1, %s)"
ENDED: Final = """
select done.id, done.status, done.result, done.error,
       array(select step.options #>> '{step,at}' from trioworker.job as step
              where step.parent = done.id order by 1)
  from trioworker.job_completed as done join trioworker.job using (id)
 where job.parent is null
"""
UNDECIDED: Final = """
select job.id, job.options #>> '{step,at}', flow.id
  from trioworker.waiting join trioworker.job using (id)
  join trioworker.flow_state as flow on flow.id = job.parent
 where waiting.reason = 'approval'
"""


class Comes(NamedTuple):
    """What a flow comes to: its state, its result, its error, the places of its steps."""

    state: str
    result: Any
    error: tuple[str, str] | None
    made: Sequence[str]


def expected(name: str, case: Case) -> Comes:
    """The same, as the corpus says of a run under the case's own name."""
    told = case.expect.error
    return Comes(
        case.expect.state,
        result_under(f"corpus/{name}", case.expect.result),
        None if told is None else (told.name, told.message),
        sorted(case.expect.made),
    )


class Played:
    """Some cases in one database, each run `times` times."""

    def __init__(self, url: str, cases: Mapping[str, Case], *, times: int = 1) -> None:
        self._url = url
        self._cases = cases
        self._runs = {new_id(): name for name in cases for _ in range(times)}

    def enqueue(self) -> None:
        """Push the flows, and make all runs ready."""
        with psycopg.connect(self._url) as connection:
            for name, case in self._cases.items():
                for path, flow in {f"corpus/{name}": case.flow, **_own(name, case)}.items():
                    text = msgspec.json.encode(_renamed(flow, name, case)).decode()
                    connection.execute(PUSH, (path, text))
            for id_, name in self._runs.items():
                connection.execute(
                    "select trioworker.enqueue(%s, %s, kind => 'flow', id => %s)",
                    (f"corpus/{name}", msgspec.json.encode(self._cases[name].args).decode(), id_),
                )

    def comes_to(self) -> Mapping[UUID, tuple[str, Comes]]:
        """The runs that have ended: of which case, and how."""
        with psycopg.connect(self._url) as connection:
            rows = connection.execute(ENDED).fetchall()
        return {
            id_: (self._runs[id_], _comes(self._runs[id_], self._cases, *columns))
            for id_, *columns in rows
        }

    def check(self) -> None:
        """Every run has ended as the corpus says, and nothing is left of any."""
        found = self.comes_to()
        assert found.keys() == self._runs.keys()
        for name, comes in found.values():
            assert comes == expected(name, self._cases[name]), self._cases[name].what
        with psycopg.connect(self._url) as connection:
            left = connection.execute(
                "select (select count(*) from trioworker.flow_state),"
                " (select count(*) from trioworker.ready),"
                " (select count(*) from trioworker.waiting),"
                " (select count(*) from trioworker.claim)"
            ).fetchone()
        assert left == (0, 0, 0, 0)

    async def decide_and_wait(self, database: Database, lane: str, *, within_s: float) -> None:
        """Decide what people are to decide, until all runs have ended."""
        said: set[UUID] = set()
        with trio.fail_after(within_s):
            while len(self.comes_to()) < len(self._runs):
                for job, place, flow in self._undecided():
                    if job not in said and flow in self._runs:
                        said.add(job)
                        await self._say(database, lane, job, self._cases[self._runs[flow]], place)
                await trio.sleep(0.05)

    def _undecided(self) -> Sequence[tuple[Any, ...]]:
        with psycopg.connect(self._url) as connection:
            return connection.execute(UNDECIDED).fetchall()

    async def _say(self, database: Database, lane: str, job: UUID, case: Case, place: str) -> None:
        for one in case.decisions.get(place, ()):
            said = partial(decide, job=job, decision=msgspec.convert(one, Decision))
            try:
                ended = await database.transact(lane, said)
            except UsageError:
                continue
            if ended:
                return


def _own(name: str, case: Case) -> Mapping[str, Mapping[str, Any]]:
    return {f"{name}/{path}": flow for path, flow in case.flows.items()}


def _renamed(part: Any, name: str, case: Case) -> Any:  # noqa: ANN401 - JSON
    """The definition, with the flows that it nests under the names that they have here."""
    if isinstance(part, list):
        return [_renamed(one, name, case) for one in part]
    if not isinstance(part, dict):
        return part
    renamed = {key: _renamed(value, name, case) for key, value in part.items()}
    if part.get("type") == "flow" and part["path"] in case.flows:
        renamed["path"] = f"{name}/{part['path']}"
    return renamed


def _comes(name: str, cases: Mapping[str, Case], status: str, *columns: Any) -> Comes:  # noqa: ANN401 - JSON
    result, error, made = columns
    told = None if error is None else (error["name"], error["message"])
    if told is not None:
        # Nested flows are told by the names that they have here.
        message = told[1]
        for path in cases[name].flows:
            message = message.replace(f"{name}/{path}", path)
        told = (told[0], message)
    return Comes(status, result, told, made)
