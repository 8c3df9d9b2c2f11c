"""Arguments for what people ask of flows; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.differential.arguments_of_flows import PATHS
from sim.differential.history import JOBS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

_paths: Final = st.sampled_from((*PATHS, *PATHS, "path.9"))
_bad_paths: Final = st.sampled_from((*PATHS, *PATHS, "", "p" * 1_001, "p\x00"))
_definitions: Final = st.sampled_from(
    ('{"v": 1}', '{"v": 2}', '{"v": 10}', '{"v":10}', '{"v": 3}', '"\\u0000"', "{")
)
_limits: Final = st.sampled_from((10, 1, 2))
_some_jobs: Final = st.lists(st.sampled_from(JOBS), min_size=1, max_size=3, unique=True)


def flow_admin() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "approval_states": st.tuples(_some_jobs),
        "flow_drift": st.tuples(_limits),
        "flow_steps": st.tuples(st.sampled_from(JOBS), _limits),
        "flow_version": st.tuples(st.sampled_from(JOBS)),
        "list_approvals": st.tuples(_limits),
        "list_flows": st.tuples(_limits),
        "push_flow": st.tuples(_bad_paths, _definitions, st.just("somebody")),
        "read_flow": st.tuples(_paths, st.sampled_from((None, None, 1, 10))),
    }
