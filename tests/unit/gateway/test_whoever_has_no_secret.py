"""Whoever has no secret changes nothing: not a key's strength, not its tier, not its holder's luck.

Two gateways on one ledger, in any sequence: strangers who know every id (wrong secrets, cut and
misspelt keys, ids of nobody, forbidden paths, floods from the holder's own address, oversized
bodies), a holder who works and now and then does what it may not, a ledger that comes and goes.
What the key is must follow from what its holder did, and from nothing else.
"""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.front_door import OFFERED, Clock, Door, KeyBook, bearer, request
from trust import apikeys, strength
from trust.apikeys import ApiKey
from trust.strength import Misuse

HOLDER = apikeys.new_key(bytes(range(40)))
OTHERS = [apikeys.new_key(bytes([number]) * 40) for number in range(100, 108)]
CHAT = b'{"model": "%b", "messages": []}'
PATHS = [
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/messages"),
    ("POST", "/tokenize"),
    ("GET", "/v1/keys/self"),
    ("POST", "/v1/keys/self/rotate"),
    ("DELETE", "/v1/keys/self"),
    ("GET", "/v1/nothing"),
]


def forged(key_id: str, secret: bytes) -> bytes:
    shown = apikeys.new_key(bytes(8) + secret).secret
    return bearer(ApiKey(key_id, shown))


ids = st.sampled_from([HOLDER.id, *(key.id for key in OTHERS)]) | st.integers(0, 2**40).map(
    lambda number: apikeys.new_key(number.to_bytes(8, "big") + bytes(32)).id
)
secrets = st.binary(min_size=32, max_size=32).filter(
    lambda secret: secret != HOLDER.secret.get_secret_value()
)
whole = HOLDER.reveal().encode()
shown = (
    st.builds(forged, ids, secrets)
    | st.sampled_from([
        None, b"", b"Bearer", b"Bearer ", b"Basic " + whole, whole, b"Bearer " + whole[:-1],
        b"Bearer " + whole + b"x", b"Bearer " + whole.swapcase(), b"Bearer \xff\xfe",
        b"Bearer fed_" + HOLDER.id.encode() + b"_", b"Bearer " + b"k" * 9000,
    ])
    | st.binary(max_size=80).map(lambda raw: b"Bearer " + raw.translate(None, b"\r\n\0"))
)  # fmt: skip
bodies = st.sampled_from(
    [b"", b"{", CHAT % OFFERED.encode(), b'{"overlap_seconds": 0}', b"x" * 4000]
)
attempts = st.tuples(
    shown, st.sampled_from(PATHS), bodies, st.sampled_from(["10.0.0.1", "192.0.2.7", "2001:db8::1"])
)
doors = st.integers(0, 1)
LEASE, STALE = 1.0, 600.0


class Strangers(RuleBasedStateMachine):
    """See the module. The holder always comes from 10.0.0.1, from where strangers come, too."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.book = KeyBook(self.clock)
        for key in (HOLDER, *OTHERS):
            self.book.issue(key)
        self.expected = self.book.states[HOLDER.id]
        self.untouched = {key.id: self.book.states[key.id] for key in OTHERS}
        self.doors = [self.loop.run_until_complete(self.opened()) for _ in range(2)]
        # When each gateway last heard of the ledger, and last asked for its own key.
        self.proved: set[int] = set()
        self.paced = [0.0, 0.0]
        self.cut_off_at: float | None = None

    async def opened(self) -> Door:
        door = Door(self.book, self.clock, lease_seconds=LEASE, stale_seconds=STALE, max_keys=4,
                    max_unknown=8)  # fmt: skip
        door.hear()
        return door

    def teardown(self) -> None:
        for door in self.doors:
            self.loop.run_until_complete(door.close())
        self.loop.close()

    @rule(door=doors, made=st.lists(attempts, min_size=1, max_size=6), times=st.integers(1, 3))
    def strangers_try(self, door: int, made: list[tuple[bytes | None, tuple[str, str], bytes, str]],
                      times: int) -> None:  # fmt: skip
        self.loop.run_until_complete(self.tried(door, made * times))

    async def tried(
        self, door: int, made: list[tuple[bytes | None, tuple[str, str], bytes, str]]
    ) -> None:
        answers = await asyncio.gather(
            *(
                self.doors[door].send(request(header, method, path, body), client)
                for header, (method, path), body, client in made
            )
        )
        assert {status for status, _ in answers} <= {400, 401, 404, 405, 413, 429, 431, 503}

    @rule(door=doors, made=st.lists(attempts, max_size=6))
    def the_holder_works_among_strangers(
        self, door: int, made: list[tuple[bytes | None, tuple[str, str], bytes, str]]
    ) -> None:
        async def together() -> None:
            await asyncio.gather(self.tried(door, made), self.works(door))

        self.loop.run_until_complete(together())

    async def works(self, door: int) -> None:
        status, _ = await self.doors[door].send(request(bearer(HOLDER)))
        if self.cut_off_at is None:
            self.proved.add(door)
            assert status == 200
        else:
            # Cut off from the ledger a gateway serves whom it knows, and nobody else.
            assert status == (200 if door in self.proved else 503)

    @rule(door=doors, secret=secrets)
    def the_ledger_goes_away_after_guesses(self, door: int, secret: bytes) -> None:
        """Whoever guesses at every id pushes nobody out of what a gateway knows of its users."""
        if self.cut_off_at is None:
            guesses = [
                (forged(key.id, secret), PATHS[0], b"", "192.0.2.7") for key in (HOLDER, *OTHERS)
            ]
            self.loop.run_until_complete(self.works(door))
            self.loop.run_until_complete(self.tried(door, guesses))
            self.the_ledger_goes_away()
            self.loop.run_until_complete(self.works(door))

    @rule(door=doors)
    def the_holder_looks_at_its_key(self, door: int) -> None:
        if self.cut_off_at is not None:
            return
        answer = self.doors[door].send(request(bearer(HOLDER), "GET", "/v1/keys/self"))
        status, _ = self.loop.run_until_complete(answer)
        self.proved.add(door)
        assert status == (200 if self.clock() - self.paced[door] >= 1 else 429)
        self.paced[door] = self.clock()

    @rule(door=doors, model=st.booleans())
    def the_holder_does_what_it_may_not(self, door: int, model: bool) -> None:
        if self.cut_off_at is not None:
            return
        path, kind = (
            ("/v1/chat/completions", Misuse.FORBIDDEN_MODEL)
            if model
            else ("/tokenize", Misuse.FORBIDDEN_SCOPE)
        )
        asked = request(bearer(HOLDER), "POST", path, CHAT % OFFERED.encode())
        status, _ = self.loop.run_until_complete(self.doors[door].send(asked))
        self.proved.add(door)
        assert status == 403
        self.expected = strength.misuse(self.expected, self.clock.wall(), kind)

    @rule(seconds=st.sampled_from([0.1, 0.7, 2.0, 60.0, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.seconds += seconds
        if self.cut_off_at is None:
            for door in self.doors:
                door.hear()
        elif self.clock() - self.cut_off_at > STALE:
            self.the_ledger_is_back()

    @rule()
    def the_ledger_goes_away(self) -> None:
        if self.cut_off_at is None:
            self.noted()
            self.book.away, self.cut_off_at = True, self.clock()

    @rule()
    def the_ledger_is_back(self) -> None:
        if self.cut_off_at is not None:
            self.book.away, self.cut_off_at = False, None
            for door in self.doors:
                door.hear()
                # The next question finds out; nobody need wait for it.
                self.loop.run_until_complete(door.send(request(forged("0" * 11, bytes(32)))))

    def noted(self) -> None:
        for door in self.doors:
            self.loop.run_until_complete(door.misuse.flush())

    @invariant()
    def every_key_is_what_its_holder_made_it(self) -> None:
        if self.cut_off_at is None:
            self.noted()
        found = self.book.states[HOLDER.id]
        assert found == self.expected
        now = self.clock.wall()
        assert strength.settle(found, now).tier == strength.settle(self.expected, now).tier
        for key_id, before in self.untouched.items():
            assert self.book.states[key_id] == before


TestStrangers = pytest.mark.long(Strangers.TestCase)
TestStrangers.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
