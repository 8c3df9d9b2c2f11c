"""The OpenAPI description is true: a fuzzer asks for what it allows, and for what it does not."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import FunctionType
from typing import Any, Final, cast
from urllib.parse import quote

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import positive_data_acceptance

from tests.client.harness import beside
from tests.database_fixtures import NEWEST, PostgresServer, fresh_database
from tests.server.api import ANY_PORT, PATIENCE_S, api
from trioworker.events import Event, RequestFailed
from trioworker.server.api import api_operations
from trioworker.server.metrics import Metrics
from trioworker.server.openapi import description

ENQUEUES: Final = frozenset({"/api/flows", "/api/jobs", "/api/jobs/batch", "/api/scripts"})
"""What goes together in a job, a script or a flow this schema cannot say: 400 is no lie there."""

failed: Final[list[Event]] = []


@asynccontextmanager
async def _address(url: str) -> AsyncIterator[str]:
    def heard(event: Event) -> None:
        if isinstance(event, RequestFailed):
            failed.append(event)

    async with api(url, emit=heard, listen=ANY_PORT) as client:
        yield str(client.base_url)


@pytest.fixture(scope="module")
def address(
    postgres_server: PostgresServer, migrated_template_of: Callable[[int], str]
) -> Iterator[str]:
    """Where a server is that all cases ask."""
    with (
        fresh_database(postgres_server, migrated_template_of(NEWEST)) as url,
        beside(_address(url)) as found,
    ):
        yield found


operations: Final = api_operations(cast("Any", None), Metrics(), cast("Any", None))
document: Final = description(operations)
schema: Final = schemathesis.openapi.from_dict(document)


def _answers_are_as_described(address: str, case: Any) -> None:  # noqa: ANN401 - the fuzzer's own
    """No answer is a bug, has a status or a body that is not described, or takes what is not."""
    if case.path.endswith(("/events", "/result")):
        # A job of an earlier case may have this id, and nobody runs it: end it, so as not to wait.
        httpx.post(f"{address}/api/jobs/{quote(str(case.path_parameters['id']), safe='')}/cancel")
    excluded = [positive_data_acceptance] if case.path in ENQUEUES else []
    case.call_and_validate(base_url=address, excluded_checks=excluded, timeout=PATIENCE_S)
    assert failed == []


def _test_of(path: str, method: str) -> Any:  # noqa: ANN401 - the fuzzer's own
    """A test of one operation; all of them as one would be one to those who share out tests."""
    test = FunctionType(_answers_are_as_described.__code__, globals())
    test.__annotations__ = _answers_are_as_described.__annotations__
    house = settings(
        max_examples=5, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck]
    )
    return schema.include(path=path, method=method).parametrize()(house(test))


for one in operations:
    words = "_".join(re.findall(r"\w+", f"{one.method} {one.path}".lower()))
    globals()[f"test_answers_are_as_described_{words}"] = _test_of(one.path, one.method)


def test_the_description_is_the_one_that_is_served(address: str) -> None:
    """What a program reads is made of the operations, and says of each what it is for."""
    served = httpx.get(f"{address}/openapi.json").json()

    assert served == msgspec.json.decode(msgspec.json.encode(document))
    assert all(one["summary"] for of in served["paths"].values() for one in of.values())
