"""The OpenAPI description, made of the operations and of the records that parse their requests.

Rule of this file: nothing about the API is written down here a second time.
"""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from inspect import cleandoc
from typing import Any, Final

import msgspec

from trioworker.server import shapes
from trioworker.server.operations import JSON, Operation

OPENAPI: Final = "3.1.0"
TEMPLATE: Final = "#/components/schemas/{name}"
ALWAYS: Final = (400, 503)
"""Refusals that any request can meet."""
OF_BODIES: Final = (413, 415, 429)
OF_KEYS: Final = (401, 403)

_PARAMETERS: Final[Mapping[str, Any]] = {
    "id": {"type": "string", "format": "uuid"},
    "name": {"type": "string", "minLength": 1},
}


def description(operations: Sequence[Operation]) -> dict[str, Any]:
    """The document of these operations."""
    kinds = _kinds(operations)
    made, components = msgspec.json.schema_components(kinds, ref_template=TEMPLATE)
    schemas = dict(zip(kinds, made, strict=True))
    for schema in components.values():
        schema["description"] = cleandoc(schema.get("description", ""))
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        of_path = paths.setdefault(operation.path, {})
        of_path[operation.method.lower()] = _operation(operation, schemas, components)
    return {
        "openapi": OPENAPI,
        "info": {
            "title": "trioworker",
            "version": version("trioworker"),
            "description": "Jobs in batches on PostgreSQL: the API for jobs, flows, schedules.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _kinds(operations: Sequence[Operation]) -> list[Any]:
    """All records that come or go, each once."""
    kinds: dict[Any, None] = {shapes.Problem: None}
    for operation in operations:
        kinds |= dict.fromkeys((operation.query, operation.body, operation.reply))
    kinds.pop(None, None)
    return [*kinds]


def _operation(
    operation: Operation, schemas: Mapping[Any, Any], components: Mapping[str, Any]
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _name(operation),
        "parameters": [*_in_path(operation), *_in_query(operation, components)],
        "responses": _responses(operation, schemas),
    }
    if operation.body is not None:
        said["requestBody"] = {
            "required": not operation.may_be_empty,
            "content": {JSON: {"schema": schemas[operation.body]}},
        }
    if not operation.open:
        said["security"] = [{"key": []}, {}]  # a server on its own host alone may have no key
    return said


def _name(operation: Operation) -> str:
    words = re.findall(r"[a-z]+", operation.path)
    return "_".join((operation.method.lower(), *words))


def _in_path(operation: Operation) -> Sequence[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": _PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]


def _in_query(operation: Operation, components: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    properties = components[operation.query.__name__].get("properties", {})
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]


def _responses(operation: Operation, schemas: Mapping[Any, Any]) -> dict[str, Any]:
    content = (
        {"schema": {"type": "string"}}
        if operation.reply is None
        else {"schema": schemas[operation.reply]}
    )
    media = operation.media.partition(";")[0]
    answers = {
        str(status): {"description": meaning, "content": {media: content}}
        for status, meaning in operation.statuses.items()
    }
    refusals = {*ALWAYS, *operation.errors}
    refusals |= {*OF_BODIES} if operation.body is not None else set()
    refusals |= set() if operation.open else {*OF_KEYS}
    problem = {JSON: {"schema": schemas[shapes.Problem]}}
    return answers | {
        str(status): {"description": HTTPStatus(status).phrase, "content": problem}
        for status in sorted(refusals)
    }
