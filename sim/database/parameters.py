"""What becomes of a statement's arguments before it runs: the driver encodes, the server reads.

Rule of this file: both happen before the statement takes a snapshot or a lock. What the driver
cannot encode never reaches the server, and the transaction lives on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sim.database.values import refusal

_COMMIT: Final = (
    "uuid uuid[] uuid[] integer[] text[] text[] text[] double precision[] integer[]"
    " double precision[] boolean[]"
)
_ENQUEUE: Final = (
    "uuid[] text[] text[] text[] text[] smallint[] timestamp with time zone[] text[] boolean[]"
    " text[] uuid[]"
)
_STORE_RUNNING: Final = (
    "uuid uuid[] uuid[] integer[] integer[] text[] double precision[] text[] integer"
)
_STORE_SCHEDULES: Final = (
    "text[] text[] boolean[] timestamp with time zone[] uuid[] timestamp with time zone[]"
    " timestamp with time zone[] integer[] text[]"
)
_PULL: Final = (
    "uuid uuid bigint text[] text[] smallint[] timestamp with time zone[] uuid[] smallint"
    " smallint[]"
)
_TAKE_KEYS: Final = (
    "text[] text[] uuid[] text[] timestamp with time zone[] timestamp with time zone[]"
    " double precision"
)

_DEAD_LETTERS: Final = (
    "text text text timestamp with time zone timestamp with time zone uuid bigint"
)

PARAMETERS: Final[Mapping[str, str]] = {
    "add_schedules": "text[] text[]",
    "add_token": "uuid text text[] smallint[] timestamp with time zone text",
    "adopt": "uuid uuid[]",
    "approval_states": "uuid[]",
    "cached_results": "text[]",
    "cancel_unstarted": "uuid[] text uuid[]",
    "cancels_for_worker": "uuid",
    "child_ends": "uuid[]",
    "children": "uuid bigint",
    "clock": "",
    "commit": _COMMIT,
    "count_jobs": "",
    "deploy_script": "text text text boolean text text text",
    "due_keys": "bigint",
    "due_limits": "bigint",
    "dead_letters": _DEAD_LETTERS,
    "delete_jobs": "uuid[]",
    "delete_schedules": "text[]",
    "due_schedules": "bigint",
    "due_approvals": "bigint",
    "end_approvals": "uuid[] text[] text[] text[]",
    "end_flows": "uuid[] text[] text[] text[] integer[] smallint[] uuid",
    "end_stranded": "uuid[] text",
    "ended_jobs": "uuid[]",
    "ended_parents": "bigint",
    "ended_steps": "uuid[]",
    "enqueue": _ENQUEUE,
    "expired_jobs": "bigint",
    "family": "uuid[] bigint",
    "find_stored": "uuid uuid[] integer[]",
    "flow_drift": "bigint",
    "flow_steps": "uuid bigint",
    "flow_version": "uuid",
    "follow_logs": "uuid integer integer",
    "forget_keys": "text[] text[] boolean[] double precision",
    "forget_parents": "uuid[]",
    "forget_results": "bigint",
    "forget_workers": "bigint double precision",
    "hand_over": "uuid uuid uuid[]",
    "heartbeat": "uuid bigint bigint integer",
    "hold_parents": "uuid uuid[] uuid[] integer[] integer[]",
    "hooked_jobs": "uuid[]",
    "job_attempts": "uuid",
    "job_logs": "uuid",
    "job_origins": "uuid[]",
    "job_states": "uuid[]",
    "job_steps": "uuid",
    "kept_flows": "uuid uuid[]",
    "key_holders": "uuid[] text[] text[]",
    "known_children": "uuid[] uuid[] text[] text[] text[]",
    "late_cancels": "bigint",
    "list_approvals": "bigint",
    "list_flows": "bigint",
    "list_jobs": "text text text bigint uuid text",
    "list_schedules": "text[] bigint",
    "list_scripts": "text bigint",
    "list_tokens": "bigint",
    "list_workers": "bigint",
    "limit_drift": "bigint",
    "lock_flows": "uuid[]",
    "lock_flows_of": "uuid[]",
    "lock_keys": "text[] text[]",
    "lock_limits": "uuid[] text[] integer[] double precision[] timestamp with time zone[]",
    "lock_migrations": "",
    "lock_schedules": "text[]",
    "lost_flows": "bigint",
    "mark_lost": "bigint",
    "mend_looks": "bigint",
    "newest_flows": "text[]",
    "newest_scripts": "text[]",
    "next_due": "text[]",
    "next_look": "",
    "notify_done": "uuid[]",
    "notify_ready": "text[]",
    "old_jobs": "bigint double precision",
    "own_children": "uuid uuid[]",
    "ping": "",
    "place_in_line": "uuid",
    "plan_looks": "text[]",
    "preprocessed_args": "uuid",
    "promote": "text[]",
    "push_flow": "text jsonb text",
    "pull": _PULL,
    "read_approval": "uuid",
    "read_flow": "text integer",
    "read_flows": "uuid[]",
    "read_script": "text integer",
    "read_lost_flows": "uuid[] uuid[]",
    "reap": "bigint smallint",
    "record_migration": "integer text",
    "register_worker": "uuid text text integer text text[] smallint[] real uuid",
    "release_slots": "uuid[] boolean[]",
    "replace_jobs": "uuid[] uuid[]",
    "request_cancel": "uuid[] text",
    "requeue_jobs": "uuid[]",
    "restart_flows": "uuid[] boolean[]",
    "retire_worker": "uuid",
    "revoke_tokens": "uuid[]",
    "schema_version": "",
    "server_version": "",
    "store_attempts": "uuid uuid[] integer[] text[] double precision[] integer[]",
    "store_decision": "uuid text boolean jsonb",
    "store_flows": "uuid[] uuid[] text[] integer[] text[] integer[] smallint[] uuid[]",
    "store_expiries": "uuid[] double precision[]",
    "store_labels": "uuid[] text[]",
    "store_locks": "text[] integer[] text[]",
    "store_logs": "uuid[] integer[] integer[] text[]",
    "store_preprocessed": "uuid[] text[]",
    "store_progress": "uuid[] integer[] double precision[] text[]",
    "store_results": "text[] uuid[] text[] double precision[]",
    "store_running": _STORE_RUNNING,
    "store_steps": "uuid uuid[] uuid[] integer[] text[] text[]",
    "store_schedules": _STORE_SCHEDULES,
    "sweep_cancels": "",
    "take_keys": _TAKE_KEYS,
    "take_slots": "uuid[] text[]",
    "take_back_jobs": "uuid[] timestamp with time zone[]",
    "token_of_worker": "uuid",
    "token_standing": "uuid",
    "unfinished_jobs": "uuid[]",
}
"""The types of each query's parameters, as the server infers them; a test compares the two."""

_BOUNDS: Final = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


def encode(name: str, arguments: Sequence[object]) -> None:
    """The driver's part. Raises `Refused` (22000) for what a parameter's type cannot hold."""
    for type_, value in _values(name, arguments):
        if isinstance(value, str):
            _encode_text(value)
        elif isinstance(value, int) and not -_BOUNDS[type_] <= value < _BOUNDS[type_]:
            raise refusal("22000", f"invalid input for query argument: {value} is no {type_}")


def read(name: str, arguments: Sequence[object]) -> None:
    """The server's part. Raises `Refused` (22021) for text with a NUL."""
    for _, value in _values(name, arguments):
        if isinstance(value, str) and "\x00" in value:
            raise refusal("22021", 'invalid byte sequence for encoding "UTF8": 0x00')


def _values(name: str, arguments: Sequence[object]) -> Iterator[tuple[str, object]]:
    """The values that may not do, each with its type: all text and all integers."""
    assert len(arguments) == len(_TYPES[name])
    for place, type_, is_array in _CHECKED[name]:
        argument = arguments[place]
        if not is_array:
            yield type_, argument
        elif argument is not None:
            assert isinstance(argument, list | tuple)
            for value in argument:
                yield type_, value


def _encode_text(value: str) -> None:
    try:
        value.isascii() or value.encode()
    except UnicodeEncodeError as error:
        raise refusal("22000", f"invalid input for query argument: {error}") from error


def _split(types: str) -> Sequence[str]:
    """The single types, their spaces taken out."""
    for long in ("timestamp with time zone", "double precision"):
        types = types.replace(long, long.replace(" ", "_"))
    return types.split()


_TYPES: Final = {name: _split(types) for name, types in PARAMETERS.items()}
_CHECKED: Final = {
    name: [
        (place, element, type_ != element)
        for place, type_ in enumerate(types)
        if (element := type_.removesuffix("[]")) in ("text", *_BOUNDS) or type_ == "jsonb"
    ]
    for name, types in _TYPES.items()
}
"""Those of them whose values may not do: place, type of a value, whether there are many."""
