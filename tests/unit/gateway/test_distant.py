"""Two distant sources: which addresses are one network, and what a gateway notes of them."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway import distant
from gateway.distant import DistantSources, network_of
from gateway.member import Member
from tests.support.front_door import ALLOWED, SCOPES, Clock, Door, KeyBook, bearer, request
from trust import apikeys
from trust.strength import Misuse

SITES = {
    "office": [ip_network("10.1.0.0/16"), ip_network("9.9.9.0/24"), ip_network("2a00:1::/32")],
    "lab": [ip_network("10.2.0.0/16")],
}
HOLDER = Member("a" * 11, "default", SCOPES, None)


@pytest.mark.parametrize(
    ("client", "network"),
    [
        ("8.8.4.4", (4, "8.8.0.0/16")),
        ("8.8.255.1", (4, "8.8.0.0/16")),
        ("::ffff:8.8.4.4", (4, "8.8.0.0/16")),
        ("2606:4700:10:1::1", (6, "2606:4700:10::/48")),
        ("10.1.2.3", (4, "office")),
        ("9.9.9.9", (4, "office")),
        ("9.9.8.9", (4, "9.9.0.0/16")),
        ("2a00:1:2::3", (6, "office")),
        ("10.2.0.1", (4, "lab")),
        ("10.3.0.1", None),
        ("192.168.1.1", None),
        ("100.64.0.7", None),
        ("fd7a:115c:a1e0::1", None),
        ("fe80::1%eth0", None),
        ("127.0.0.1", None),
        ("", None),
        (None, None),
        ("nonsense", None),
    ],
)
def test_which_network_an_address_counts_to(
    client: str | None, network: tuple[int, str] | None
) -> None:
    assert network_of(client, SITES) == network


def noted(*clients: str, seconds: float = 10, **changes: str) -> list[tuple[str, Misuse]]:
    clock, found = Clock(), list[tuple[str, Misuse]]()
    sources = DistantSources(SITES, lambda key, kind: found.append((key, kind)), clock)
    for client in clients:
        clock.seconds += seconds
        sources.seen(replace(HOLDER, **changes), client)
    return found


def test_two_networks_by_turns_are_noted_and_roaming_is_not() -> None:
    both = ["8.8.4.4", "1.1.1.1"]
    assert noted(*both * 3) == []
    assert noted(*both * 3, both[0]) == [(HOLDER.key_id, Misuse.DISTANT_SOURCES)]
    assert noted(*both * 20, seconds=120) == []
    # A client with both protocols, one at home in a tailnet and out of it, two lines of a site.
    assert noted(*["8.8.4.4", "2606:4700:10:1::1"] * 20) == []
    assert noted(*["8.8.4.4", "100.64.0.7"] * 20) == []
    assert noted(*["10.1.0.1", "9.9.9.9"] * 20) == []
    assert len(noted(*["10.1.0.1", "10.2.0.1"] * 20)) == 34


def test_keys_that_replaced_each_other_are_one_and_the_one_in_use_is_noted() -> None:
    clock, found = Clock(), list[str]()
    sources = DistantSources(SITES, lambda key, _: found.append(key), clock)
    successor = replace(HOLDER, key_id="b" * 11, family=HOLDER.key_id)
    for _ in range(4):
        sources.seen(HOLDER, "8.8.4.4")
        sources.seen(successor, "1.1.1.1")
    assert found == [HOLDER.key_id, successor.key_id]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distant, "MOST_KEYS", 10)
    sources = DistantSources({}, lambda *_: None, Clock())
    for number in range(100):
        member = replace(HOLDER, key_id=f"{number:011}")
        sources.seen(member, "8.8.4.4")
        sources.seen(member, "2606:4700:10:1::1")
    assert len(sources) == 20


async def test_only_work_that_a_proved_key_may_do_is_looked_at() -> None:
    """Strangers with wrong secrets, and the holder's own refused requests, by turns from two
    networks: nothing.

    (Work itself needs an engine: tests/integration/gateway/test_signals.py.)
    """
    holder, clock = apikeys.new_key(bytes(range(40))), Clock()
    book = KeyBook(clock)
    book.issue(holder)
    door = Door(book, clock, burst=1000)
    door.hear()
    wrong = apikeys.ApiKey(holder.id, apikeys.new_key(bytes(40)).secret)
    body = b'{"model": "%b", "messages": []}'
    for number in range(40):
        client = ("8.8.4.4", "1.1.1.1")[number % 2]
        for shown, model, status in ((wrong, ALLOWED, 401), (holder, "forbidden", 403)):
            asked = request(bearer(shown), "POST", "/v1/chat/completions", body % model.encode())
            assert (await door.send(asked, client))[0] == status
    await door.misuse.flush()
    assert not any(trace.mask for trace in book.states[holder.id].misuses)
    await door.close()
