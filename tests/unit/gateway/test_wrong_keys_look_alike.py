"""An id of nobody, a wrong secret, an expired and a revoked key: one answer, and the same work.

Time is what work takes, so work is counted: digests made, comparisons, questions asked of the
ledger, whether the answer waits for the beat. A stranger's schedule is played in worlds that differ
in what the id is (and in how busy its holder is); all that the stranger can observe must be equal.
Latencies are compared too, over TLS and a real database, in tests/integration/gateway.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import auth
from gateway.keyring import TRIED_SECONDS
from tests.support.front_door import Clock, Door, KeyBook, bearer, request
from trust import apikeys
from trust.apikeys import ApiKey

HOLDER = apikeys.new_key(bytes(range(40)))
FORGED = ApiKey(HOLDER.id, apikeys.new_key(bytes(40)).secret)
BYSTANDER = apikeys.new_key(bytes([9]) * 40)
Step = str | float
Observed = tuple[int, bytes, int, int, int, bool]

# What the id is, and what the stranger shows.
CASES: dict[str, ApiKey] = {
    "nobody's": FORGED,
    "wrong secret": FORGED,
    "wrong secret, key in use": FORGED,
    "expired": HOLDER,
    "revoked": HOLDER,
}


class Counted:
    """A function, and how often it was called."""

    def __init__(self, real: Callable[..., object]) -> None:
        self.real, self.count = real, 0

    def __call__(self, *arguments: object) -> object:
        self.count += 1
        return self.real(*arguments)


def book_of(case: str, clock: Clock) -> KeyBook:
    book = KeyBook(clock)
    book.issue(BYSTANDER)
    if case != "nobody's":
        book.issue(HOLDER)
    if case == "expired":
        ended = replace(book.verifiers[HOLDER.id], expires_at=clock.moment() - timedelta(1))
        book.verifiers[HOLDER.id] = ended
    if case == "revoked":
        book.revoke(HOLDER.id)
    return book


async def played(
    case: str, schedule: list[Step], monkeypatch: pytest.MonkeyPatch
) -> list[Observed]:
    clock = Clock()
    book, observed = book_of(case, clock), []
    door = Door(book, clock, burst=1000)
    door.hear()
    digests = Counted(apikeys.digest)
    compared = Counted(auth.hmac.compare_digest)
    waits: list[float] = []

    async def noted(began: float) -> None:
        waits.append(began)

    monkeypatch.setattr(auth.apikeys, "digest", digests)
    monkeypatch.setattr(auth, "hmac", mock.Mock(compare_digest=compared))
    monkeypatch.setattr(auth, "_on_the_beat", noted)
    try:
        for step in schedule:
            if isinstance(step, float):
                clock.seconds += step
            elif step == "holder":
                if case == "wrong secret, key in use":
                    await door.send(request(bearer(HOLDER)))
                    # A question that nobody waits for is over before the stranger's begins.
                    for _ in range(5):
                        await asyncio.sleep(0)
            elif step == "bystander":
                await door.send(request(bearer(BYSTANDER)))
            elif step == "change":
                book.changes.append(f"key:{BYSTANDER.id}")
            elif step in ("away", "back"):
                book.away = step == "away"
            elif step == "heard":
                if not book.away:
                    door.hear()
            else:
                asked, before = len(book.asked), (digests.count, compared.count, len(waits))
                status, body = await door.send(request(bearer(CASES[case])))
                observed.append((
                    status, body, len(book.asked) - asked, digests.count - before[0],
                    compared.count - before[1], len(waits) > before[2],
                ))  # fmt: skip
    finally:
        monkeypatch.undo()
        await door.close()
    return observed


steps = st.lists(
    st.sampled_from(["stranger", "stranger", "holder", "bystander", "heard", "change"])
    | st.sampled_from(["away", "back"])
    | st.sampled_from([0.1, TRIED_SECONDS, 1.5, 700.0]),
    max_size=25,
)


@given(steps)
@example(["holder", "stranger", "stranger", TRIED_SECONDS, "stranger"])
@example(["stranger", 0.1, "holder", "stranger", "change", "heard", "stranger"])
@example(["holder", "away", "stranger", 1.5, "stranger", "holder", "stranger"])
@settings(max_examples=40, deadline=None)
def test_nothing_a_stranger_observes_depends_on_what_the_id_is(schedule: list[Step]) -> None:
    monkeypatch = pytest.MonkeyPatch()
    seen = {case: asyncio.run(played(case, schedule, monkeypatch)) for case in CASES}
    for case, observed in seen.items():
        assert observed == seen["nobody's"], case
    for status, _, _, digests, compared, _ in seen["nobody's"]:
        assert (digests, compared) == (1, 2 if status == 401 else 1)
