"""The bound before the call: what clients say, what they leave out, what is no number."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits.estimate import TEMPLATE_TOKENS, answers, completion_bound, tokens

CASES: list[tuple[dict[str, Any], int | None, int]] = [
    ({}, None, 1),
    ({"max_tokens": 10}, 10, 1),
    ({"max_tokens": 10, "max_completion_tokens": 30}, 30, 1),
    ({"max_output_tokens": 7}, 7, 1),
    ({"max_tokens": 10, "n": 3}, 30, 3),
    ({"max_tokens": 10, "n": 2, "best_of": 5}, 50, 5),
    ({"n": 4}, None, 4),
    ({"max_tokens": 10, "prompt": ["a", "b", "c"]}, 30, 3),
    ({"max_tokens": 10, "prompt": [1, 2, 3]}, 10, 1),
    ({"max_tokens": 10, "prompt": [[1, 2], [3]], "n": 2}, 40, 4),
    ({"max_tokens": "10"}, None, 1),
    ({"max_tokens": True, "n": False}, None, 1),
    ({"max_tokens": -1, "n": -5}, None, 1),
    ({"max_tokens": 1.5, "prompt": []}, None, 1),
]


@pytest.mark.parametrize(("body", "bound", "many"), CASES)
def test_what_a_body_says(body: dict[str, Any], bound: int | None, many: int) -> None:
    assert (completion_bound(body, answers(body)), answers(body)) == (bound, many)


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.none())


# The first draw of text is slow on a busy machine; that says nothing of the bound.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["max_tokens", "n", "best_of", "prompt"]), VALUES))
def test_nothing_a_client_sends_breaks_it_or_makes_it_negative(body: dict[str, Any]) -> None:
    assert answers(body) >= 1
    assert (completion_bound(body, answers(body)) or 0) >= 0


def test_without_a_bound_every_answer_may_be_as_long_as_the_model() -> None:
    assert tokens(100, None, 4096, 50, 3) == 100 + TEMPLATE_TOKENS + 3 * 4096
    assert tokens(100, None, None, 50, 3) == 100 + TEMPLATE_TOKENS + 150
    assert tokens(100, 0, 4096, 50) == 100 + TEMPLATE_TOKENS
