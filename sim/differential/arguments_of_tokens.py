"""Arguments for the queries about tokens of agents; the rule of `arguments.py` holds here, too."""

from typing import Any, Final, TypeAlias

from hypothesis import strategies as st

from sim.database.rows import Row, TokenRow
from sim.differential.history import BASE, HOUR, TAGS, TOKENS, WORKERS

Drawn: TypeAlias = st.SearchStrategy[tuple[Any, ...]]

whose: Final = st.sampled_from((None, *TOKENS[:2]))
"""The token of a worker, which most do not have."""

_tokens: Final = st.sampled_from(TOKENS)
_groups: Final = st.sampled_from(("gpu", "gpu", "gpu", "", "g\x00", "g" * 121))
_some_tags: Final = st.sampled_from(([TAGS[0]], list(TAGS), [TAGS[0]], []))
_ends: Final = st.sampled_from((None, BASE - HOUR, BASE + HOUR))


@st.composite
def _new_token(draw: st.DrawFn) -> tuple[Any, ...]:
    group = draw(_groups)
    tags = draw(_some_tags) if group == "gpu" else [TAGS[0]]
    ranks = draw(st.lists(st.integers(-1, 1), min_size=len(tags), max_size=len(tags)))
    if group == "gpu" and tags and draw(st.integers(0, 9)) == 0:
        ranks.append(0)  # one rank too many
    return draw(_tokens), group, tags, ranks, draw(_ends), "somebody"


def tokens() -> dict[str, Drawn]:
    """How to draw the arguments of each of these queries, by its name."""
    return {
        "add_token": _new_token(),
        "list_tokens": st.tuples(st.sampled_from((9, 1))),
        "revoke_tokens": st.tuples(st.lists(_tokens, min_size=1, max_size=3)),
        "token_standing": st.tuples(_tokens),
        "token_of_worker": st.tuples(st.sampled_from(WORKERS)),
    }


@st.composite
def noted_tokens(draw: st.DrawFn) -> list[Row]:
    """Which tokens there are, some of them past their time."""
    return [
        TokenRow(
            id=token,
            worker_group="gpu",
            tags=TAGS,
            ranks=tuple(range(len(TAGS))),
            created_at=BASE - 2 * HOUR,
            created_by="somebody",
            expires_at=draw(_ends),
            revoked_at=draw(st.sampled_from((None, None, BASE - HOUR))),
        )
        for token in draw(st.lists(_tokens, max_size=2, unique=True))
    ]
