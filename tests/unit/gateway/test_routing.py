"""Which engine takes a request, for any state the engines may be in; and the breaker's."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing import Breaker, Candidate, choose, spare

candidates = st.lists(
    st.builds(
        Candidate,
        name=st.sampled_from("abcdef"),
        load=st.integers(0, 9),
        room=st.booleans(),
        up=st.booleans(),
        allowed=st.booleans(),
        drained=st.booleans(),
        tried=st.booleans(),
    ),
    max_size=6,
)


def engine(name: str, load: int, **changes: bool) -> Candidate:
    return Candidate(name, load, **{"room": True, "up": True, "allowed": True, **changes})


@given(candidates, st.binary(max_size=8), st.integers(0, 5))
def test_nobody_is_sent_where_it_may_not_go(
    engines: list[Candidate], prefix: bytes, slack: int
) -> None:
    choice = choose(engines, prefix, slack)
    assert choice.reason
    usable = [e for e in engines if e.allowed and not e.drained and not e.tried]
    assert choice.hopeless is (not usable)
    if choice.index is None:
        return
    chosen = engines[choice.index]
    assert chosen in usable and chosen.room
    # Down is second best, and a busier engine is chosen for its cache only.
    if not chosen.up:
        assert not any(e.up for e in usable)
    rivals = [e.load for e in usable if e.room and e.up == chosen.up]
    assert chosen.load <= min(rivals) + (slack if prefix else 0)


@given(candidates)
def test_a_hedge_goes_to_a_well_engine_with_room_only(engines: list[Candidate]) -> None:
    well = [e for e in engines if e.room and e.up and e.allowed and not (e.drained or e.tried)]
    index = spare(engines)
    assert (index is None) is (not well)
    if index is not None:
        assert engines[index] in well
        assert engines[index].load == min(e.load for e in well)


@given(candidates, st.binary(min_size=1, max_size=8))
def test_a_choice_depends_on_nothing_but_what_was_given(
    engines: list[Candidate], prefix: bytes
) -> None:
    one, other = choose(engines, prefix, 2), choose(list(engines), prefix, 2)
    assert (one.index, one.reason, one.hopeless) == (other.index, other.reason, other.hopeless)


@given(st.binary(min_size=1, max_size=64))
def test_an_engine_that_leaves_moves_only_its_own_prefixes(prefix: bytes) -> None:
    three = [engine(name, 0) for name in "abc"]
    before = choose(three, prefix, 4).index
    assert before is not None
    without = [e for e in three if e.name != "c"]
    after = choose(without, prefix, 4).index
    assert after is not None
    if three[before].name != "c":
        assert without[after].name == three[before].name


def test_prefixes_are_spread_over_engines() -> None:
    four = [engine(name, 0) for name in "abcd"]
    homes = [choose(four, b"prompt %d" % number, 4).index for number in range(400)]
    assert all(60 < homes.count(index) < 140 for index in range(4))


def test_without_a_prefix_the_least_busy_is_asked() -> None:
    assert choose([engine("a", 3), engine("b", 1), engine("c", 2)], b"", 9).index == 1
    assert choose([engine("a", 0, tried=True), engine("b", 5)], b"", 9).index == 1
    full = choose([engine("a", 9, room=False)], b"", 9)
    assert full.index is None and not full.hopeless


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "ok", "fail", "unknown"]), st.floats(0, 3))),
    st.integers(1, 4),
)
def test_a_breaker_never_lets_two_probe_and_always_comes_back(
    steps: list[tuple[str, float]], threshold: int
) -> None:
    breaker, now, probing, row = Breaker(threshold, 2.0), 0.0, False, 0
    for step, seconds in steps:
        now += seconds
        state = breaker.state(now)
        if state == "closed":
            assert breaker.allows(now) and row < threshold
        if step == "ask" and breaker.allows(now):
            assert not (probing and state == "half_open")
            probing = state == "half_open"
            breaker = breaker.asked(now)
        elif step == "ok":
            breaker, probing, row = breaker.succeeded(), False, 0
            assert breaker.state(now) == "closed"
        elif step == "fail":
            breaker, probing, row = breaker.failed(now), False, row + 1
            assert row < threshold or breaker.state(now) == "open"
        elif step == "unknown":
            breaker, probing = breaker.undecided(), False
    settled = breaker.undecided()
    assert settled.allows(now + 3.0)
