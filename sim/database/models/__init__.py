"""One model per named query: the same rows, the same locks, in Python.

Rule of these files: a model says which rows a statement touches and in which order, with the
operations of `Statement` and nothing else; what PostgreSQL leaves open it shuffles. A query
without a model is an error when the simulator starts, and every model is held against the real
statement by `test_differential.py`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, TypeAlias

from sim.database.statement import Statement
from trioworker.store.postgres.statements import load_statements

Rows: TypeAlias = Sequence[tuple[Any, ...]]
Model: TypeAlias = Callable[..., Awaitable[Rows]]

FAMILIES: Final = (
    "cache", "client", "commit", "effects", "endings", "flow_admin", "flows", "leases", "limits",
    "logs", "pull", "same_worker", "schedules", "scripts", "tokens", "unique", "upkeep", "workflow",
)  # fmt: skip
MODELS: Final[dict[str, Model]] = {}


def models(name: str) -> Callable[[Model], Model]:
    """Makes a function the model of the query `name`: called with a `Statement` and arguments."""

    def register(model: Model) -> Model:
        assert name not in MODELS, f"the query {name} has a model already"
        MODELS[name] = model
        return model

    return register


def all_models() -> Mapping[str, Model]:
    """Every model by name. Raises `AssertionError` unless these are just the queries there are."""
    for family in FAMILIES:
        import_module(f"{__name__}.{family}")
    queries = load_statements().keys()
    assert MODELS.keys() == queries, (
        f"queries without a model: {sorted(queries - MODELS.keys())};"
        f" models without a query: {sorted(MODELS.keys() - queries)}"
    )
    return MODELS


__all__ = ["MODELS", "Model", "Rows", "Statement", "all_models", "models"]
