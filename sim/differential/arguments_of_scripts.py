"""Arguments for the queries of deployed scripts; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.database.rows import PreprocessedRow, Row, ScriptRow
from sim.differential.history import BASE, HOUR, JOBS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

PATHS: Final = ("a.py", "b.mjs")

_path: Final = st.sampled_from(PATHS)
_requirements: Final = st.sampled_from(('["a"]', '["a"]', "[]", '["b"]'))
_lock: Final = st.sampled_from(('["a==1"]', '["a==2"]', "{}"))
_args: Final = st.sampled_from(('{"a": 1}', "[2]", '"a\\u0000"'))


@st.composite
def _locks(draw: st.DrawFn) -> tuple[Any, ...]:
    versions = draw(
        st.lists(st.tuples(_path, st.sampled_from((1, 2))), min_size=1, max_size=3, unique=True)
    )
    paths, numbers = zip(*versions, strict=True)
    return list(paths), list(numbers), [draw(_lock) for _ in versions]


@st.composite
def _preprocessed(draw: st.DrawFn) -> tuple[Any, ...]:
    ids = draw(st.lists(st.sampled_from(JOBS[:3]), min_size=1, max_size=2, unique=True))
    return ids, [draw(_args) for _ in ids]


def scripts() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "deploy_script": st.tuples(
            _path,
            st.sampled_from(("h1", "h2", "h3")),
            st.sampled_from(("python", "python", "node", "")),
            st.booleans(),
            st.just("text"),
            _requirements,
            st.just("me"),
        ),
        "newest_scripts": st.tuples(st.lists(_path, min_size=1, max_size=2, unique=True)),
        "read_script": st.tuples(_path, st.sampled_from((1, 2, 3))),
        "list_scripts": st.tuples(st.sampled_from((None, PATHS[0])), st.sampled_from((9, 1))),
        "store_locks": _locks(),
        "store_preprocessed": _preprocessed(),
        "preprocessed_args": st.tuples(st.sampled_from(JOBS[:3])),
    }


@st.composite
def known_scripts(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Which versions are deployed, and what scripts have made of arguments."""
    versions: list[Row] = [
        ScriptRow(
            path=path,
            version=version,
            hash=f"h{version}",
            language="python",
            dedicated=False,
            content="text",
            requirements='["a"]',
            lock=draw(st.sampled_from((None, '["a==1"]'))),
            created_at=BASE - HOUR,
            created_by="",
        )
        for path in PATHS
        for version in range(1, 1 + draw(st.sampled_from((1, 2, 0))))
    ]
    made: list[Row] = [
        PreprocessedRow(id=JOBS[0], args="[1]") for _ in range(draw(st.sampled_from((0, 1))))
    ]
    return {"script": versions, "job_preprocessed": made}
