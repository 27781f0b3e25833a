"""`fedctl secrets`: what is listed and found, that no value is shown, and what can be replaced."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploys.authority import authority_of, open_authority, operator_pair
from deploys.log_key import log_key_text
from deploys.node_keys import SEQUENCER
from deploys.own_secrets import (
    CHAT_KEY,
    passphrase_text,
    pepper_text,
    peppers_of,
    store_of,
)
from deploys.protocol import Outcome
from deploys.secret_catalog import KNOWN
from fedctl.exits import Exit
from fedctl.remote import Done
from fedctl.secret_audit import Finding, at_operator
from inventory.load import load
from inventory.model import Platform, Role
from ledger.errors import Unavailable
from ledger.note import SignerKey
from ledger.pepper_uses import PepperUse
from tests.unit.fedctl.fakes import LAB, NOW, Stage
from trust import files, operator_ssh

FEDERATION = load(LAB)
LINUX = [node.name for node in FEDERATION.nodes if node.platform is Platform.DEBIAN]


@pytest.fixture
def kept(stage: Stage) -> Iterator[Stage]:
    """An operator who has deployed: every secret that is made by itself is there."""
    authority_of(FEDERATION, stage.home, NOW)
    operator_pair(stage.home, NOW)
    operator_ssh.ensure(stage.home, "operator")
    for number in (1, 2):
        passphrase_text(stage.home, number)
    pepper_text(stage.home)
    log_key_text(FEDERATION, stage.home)
    node = FEDERATION.with_role(Role.DATA)[0]
    SEQUENCER.pin(stage.home, node, SEQUENCER.vkey(FEDERATION, node, bytes(32)))
    stage.machines.answers["python3"] = Done(0, "[]", "")
    yield stage


def values(stage: Stage) -> list[str]:
    store = store_of(stage.home)
    lines = [store.opened(name).text.split("\n") for name in store.names()]
    return [line.strip() for text in lines for line in text if len(line) > 16]


def found(stage: Stage) -> list[Finding]:
    return list(at_operator(stage.home, NOW))


def test_the_list_tells_all_but_the_values(kept: Stage) -> None:
    assert kept.fedctl("secrets", "list", "--json") == 0
    shown_entries = json.loads(kept.out.getvalue())
    entries = {each["name"]: each for each in shown_entries}
    assert set(entries) == set(KNOWN)
    of_nodes = {
        (each["name"], each["node"]): each["kept"] for each in shown_entries if "node" in each
    }
    data = [node.name for node in FEDERATION.with_role(Role.DATA)]
    assert {node for name, node in of_nodes if name == "sequencer-signing"} == set(data)
    assert {node for name, node in of_nodes if name == "witness-key"} == set(LINUX)
    first, *others = data
    assert of_nodes["sequencer-signing", first] == f"sealed on {first}"
    assert {of_nodes["sequencer-signing", each] for each in others} == {"not made yet"}
    assert entries["key-pepper"]["kept"] == "encrypted" and entries["key-pepper"]["made"]
    assert entries[CHAT_KEY]["kept"] == "not made yet"
    shown = kept.out.getvalue()
    assert kept.fedctl("secrets", "list") == 0
    assert not [value for value in values(kept) if value in shown + kept.out.getvalue()]


def test_a_clean_operator_and_clean_nodes_pass(kept: Stage) -> None:
    assert kept.fedctl("secrets", "audit") == 0, kept.out.getvalue()
    asked = [name for name, argv in kept.machines.ran if argv[0] == "python3"]
    assert sorted(asked) == sorted(LINUX)
    assert kept.fedctl("secrets", "audit", "--json") == 0
    assert json.loads(kept.out.getvalue())["looked_at"] == ["operator", *LINUX]


def test_a_secret_of_an_older_home_is_found_and_listed_in_plain_text(kept: Stage) -> None:
    files.write(kept.home.chat_key, b"fed_old\n", 0o600)
    [finding] = found(kept)
    assert finding.path == str(kept.home.chat_key) and "plain text" in finding.what
    assert kept.fedctl("secrets", "list") == 0
    assert "in plain text" in kept.out.getvalue() and kept.home.chat_key.exists()


def test_keys_of_an_older_home_are_found_until_they_are_taken_in(kept: Stage) -> None:
    store = store_of(kept.home)
    plain = {"operator": kept.home.authority / "operator.key", "ssh": kept.home.ssh_key}
    texts = {name: store.opened(name).text for name in plain}
    for name, path in plain.items():
        files.write(path, texts[name].encode(), 0o600)
        store.path(name).unlink()
    assert {each.path for each in found(kept)} == {str(path) for path in plain.values()}
    assert not [each for each in found(kept) if "delete" in each.advice]
    assert kept.fedctl("secrets", "list") == 0
    assert kept.out.getvalue().count("in plain text") == 2
    assert operator_pair(kept.home, NOW)[0].read_text() == texts["operator"]
    kept.fedctl("doctor", "--json")
    checks = {each["what"]: each for each in json.loads(kept.out.getvalue())}
    assert checks["SSH key"]["state"] == "ok" and "ssh.age" in checks["SSH key"]["found"]
    assert not found(kept) and {name: store.opened(name).text for name in plain} == texts


def test_an_older_homes_client_key_can_be_rotated_at_once(kept: Stage) -> None:
    store, plain = store_of(kept.home), kept.home.authority / "operator.key"
    before = store.opened("operator").text
    files.write(plain, before.encode(), 0o600)
    store.path("operator").unlink()
    assert kept.fedctl("secrets", "rotate", "operator") == 0, kept.err.getvalue()
    assert not plain.exists() and store.opened("operator").text != before


def test_a_key_is_lent_to_a_program_and_no_longer(kept: Stage) -> None:
    out = kept.home.root / "out"
    script = 'cat "$1" >"$2"; echo "$1" >>"$2"; exit 3'
    for name in ("operator", "ssh"):
        argv = ("secrets", "lend", name, "--", "sh", "-c", script, "sh", "{}", str(out))
        assert kept.fedctl(*argv) == 3
        *text, path = out.read_text().splitlines(keepends=True)
        assert "".join(text) == store_of(kept.home).opened(name).text
        assert path.startswith("/proc/")
    assert kept.fedctl("secrets", "lend", "ssh", "--", "true") == Exit.USAGE
    assert kept.fedctl("secrets", "lend", "ssh", "--", "no-such-program", "{}") == Exit.FAILED
    assert "no-such-program cannot be run" in kept.err.getvalue()
    assert kept.fedctl("secrets", "lend", "log-key", "--", "cat", "{}") == Exit.USAGE


def test_a_program_that_has_a_key_ends_with_us(kept: Stage) -> None:
    script = "kill -TERM $PPID; exec sleep 60"
    argv = ("secrets", "lend", "ssh", "--", "sh", "-c", script, "sh", "{}")
    assert kept.fedctl(*argv) == Exit.INTERRUPTED


def test_the_ssh_keys_public_half_is_shown_and_made(kept: Stage) -> None:
    assert kept.fedctl("secrets", "ssh-key") == 0
    assert kept.out.getvalue() == kept.home.ssh_public.read_text()
    store_of(kept.home).path("ssh").unlink()
    assert kept.fedctl("secrets", "ssh-key", "--json") == 0
    assert json.loads(kept.out.getvalue())["public"] == kept.home.ssh_public.read_text().strip()
    assert "ssh" in store_of(kept.home).names()


@pytest.mark.parametrize("name", ["key-pepper", "log-key", "authority-key", "operator", "ssh"])
def test_a_value_that_got_anywhere_is_found_without_being_shown(kept: Stage, name: str) -> None:
    value = store_of(kept.home).opened(name).text.strip().splitlines()[-2:][0]
    leak = kept.home.runs / "20260301T120000Z-abcdef" / "log.txt"
    leak.parent.mkdir(parents=True)
    # Across a chunk's edge, and inside a longer line.
    leak.write_bytes(b"x" * ((1 << 20) - 20) + f"said: {value}!\n".encode())
    assert {finding.path for finding in found(kept)} == {str(leak)}
    assert f"the value of {name}" in {finding.what for finding in found(kept)}
    assert kept.fedctl("secrets", "audit", "--here") == Exit.FAILED
    assert value not in kept.out.getvalue() + kept.err.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("-----BEGIN EC PRIVATE KEY-----\nabc\n", "private key"),
        ("AGE-SECRET-KEY-1QQQ", "age identity"),
        (f"key = fed_{'a' * 11}_{'B' * 49}\n", "API key"),
    ],
)
def test_keys_that_nobody_keeps_here_are_found(kept: Stage, content: str, what: str) -> None:
    (kept.home.root / "notes.txt").write_text(content)
    assert [what in finding.what for finding in found(kept)] == [True]


def test_the_patterns_know_our_own_keys() -> None:
    from fedctl.secret_audit import PATTERNS
    from ledger.note import Kind
    from trust.apikeys import generate

    for text in (
        generate().reveal(),
        SignerKey("a.example/log", Kind.ED25519, bytes(32)).text(),
    ):
        assert any(pattern.search(text.encode()) for pattern, _ in PATTERNS)


def test_open_modes_are_found(kept: Stage) -> None:
    sealed = store_of(kept.home).path("log-key")
    kept.home.secrets.chmod(0o755)
    kept.home.identity.chmod(0o600)
    kept.home.authority.chmod(0o750)
    assert {finding.path for finding in found(kept)} == {
        str(kept.home.secrets), str(kept.home.authority),
    }  # fmt: skip
    sealed.chmod(0o644)
    assert str(sealed) in {finding.path for finding in found(kept)}


def test_keys_that_a_killed_command_left_in_a_named_folder_are_found(kept: Stage) -> None:
    left = kept.home.root.parent / "keys" / "federation-keys-x"
    left.mkdir(parents=True)
    home = replace(kept.home, key_folder=left.parent)
    assert [each.path for each in at_operator(home, NOW)] == [str(left)]


def test_an_identity_in_a_git_tree_or_a_lost_one_is_found(kept: Stage) -> None:
    (kept.home.identity.parent / ".git").mkdir()
    assert ["git working tree" in finding.what for finding in found(kept)] == [True]
    (kept.home.identity.parent / ".git").rmdir()
    kept.home.identity.unlink()
    assert {Path(finding.path).suffix for finding in found(kept)} == {".age"}


def test_overdue_secrets_are_found(kept: Stage) -> None:
    store = store_of(kept.home)
    store.put(CHAT_KEY, "fed_x")
    later = store.opened(CHAT_KEY).made.replace(year=store.opened(CHAT_KEY).made.year + 2)
    told = {finding.advice for finding in at_operator(kept.home, later)}
    assert told == {f"fedctl secrets rotate {name}" for name in ("chat-key", "identity")}


def test_what_a_node_finds_fails_the_audit_and_a_silent_node_is_no_pass(kept: Stage) -> None:
    bad = Done(0, json.dumps([{"path": "/etc/federation/x", "what": "an age identity"}]), "")
    kept.machines.answers[f"{LINUX[1]}:python3"] = bad
    assert kept.fedctl("secrets", "audit") == Exit.FAILED
    assert "/etc/federation/x" in kept.out.getvalue() and LINUX[1] in kept.out.getvalue()
    kept.machines.answers.pop(f"{LINUX[1]}:python3")
    kept.machines.down = {LINUX[0]}
    assert kept.fedctl("secrets", "audit") == Exit.UNREACHABLE
    kept.machines.down = set()
    kept.machines.answers[f"{LINUX[0]}:python3"] = Done(1, "", "no systemd-creds\n")
    assert kept.fedctl("secrets", "audit") == Exit.FAILED
    assert "could not look" in kept.err.getvalue()


def test_the_identity_is_rotated_and_the_ledger_hears_the_public_half(kept: Stage) -> None:
    before, secret = values(kept), kept.home.identity.read_text()
    assert kept.fedctl("secrets", "rotate", "identity") == 0
    assert values(kept) == before and kept.home.identity.read_text() != secret
    [event] = kept.ledger.events
    assert event.kind == "fedctl.secrets.rotate"
    assert event.data["recipient"] == store_of(kept.home).identity().recipient


def test_the_clients_key_is_rotated(kept: Stage) -> None:
    before = operator_pair(kept.home, NOW)[0].read_bytes()
    assert kept.fedctl("secrets", "rotate", "operator") == 0
    after = operator_pair(kept.home, NOW)[0].read_bytes()
    assert after != before and after.decode() == store_of(kept.home).opened("operator").text


def test_chats_key_is_rotated_with_its_successor(kept: Stage) -> None:
    assert kept.fedctl("secrets", "rotate", "chat-key") == Exit.FAILED
    old, record = kept.ledger.issue("chat", "me", ("inference",), None, None)
    store_of(kept.home).put(CHAT_KEY, old.reveal())
    assert kept.fedctl("secrets", "rotate", "chat-key") == 0
    new = store_of(kept.home).opened(CHAT_KEY).text
    assert new != old.reveal() and kept.ledger.records[record.id].replaced_by in new
    assert new not in kept.out.getvalue() + kept.err.getvalue()


def test_the_pepper_is_rotated_gateways_first_and_taken_back(kept: Stage) -> None:
    kept.ledger.peppers = (PepperUse(1, 2, NOW, ("0123456789a", "0123456789b")),)
    before = set(values(kept))
    assert kept.fedctl("secrets", "rotate", "key-pepper", "--json") == 0, kept.err.getvalue()
    told = json.loads(kept.out.getvalue())
    assert told["next"] == {"kind": "wait", "pepper": 1} and told["keys"] == {"1": 2}
    assert [step.split(" (")[0] for step in told["steps"]] == [
        "pepper 2 is there, and used for nothing yet", "new keys get pepper 2",
    ]  # fmt: skip
    gateways = tuple(node.name for node in FEDERATION.with_role(Role.GATEWAY))
    assert {order.limit for order in kept.deploys.orders} == {gateways}
    assert [(order.mode, order.stages) for order in kept.deploys.orders] == [
        ("apply", ("gateway",)), ("plan", ("release",)),
        ("apply", ("gateway",)), ("apply", ("gateway",)),
    ]  # fmt: skip
    assert peppers_of(kept.home).version == 2
    said = kept.out.getvalue() + kept.err.getvalue() + str(kept.ledger.events[-1].data)
    assert not [value for value in set(values(kept)) - before if value in said]
    assert kept.fedctl("secrets", "rotate", "key-pepper", "--undo") == 0
    assert "pepper 2 is gone" in kept.err.getvalue()
    assert set(values(kept)) == before


def test_without_the_ledger_or_the_gateways_no_pepper_changes(kept: Stage) -> None:
    before = values(kept)
    kept.ledger.error = Unavailable("gone")
    assert kept.fedctl("secrets", "rotate", "key-pepper") == Exit.UNREACHABLE
    kept.ledger.error = None
    kept.deploys.outcome = Outcome.UNREACHABLE
    assert kept.fedctl("secrets", "rotate", "key-pepper") == Exit.UNREACHABLE
    kept.deploys.outcome = Outcome.PENDING
    assert values(kept) == before


def test_the_authority_is_replaced_in_three_runs_that_ask(kept: Stage) -> None:
    first = open_authority(kept.home).certificate
    assert kept.fedctl("secrets", "rotate", "authority-key") == Exit.USAGE
    assert "--yes" in kept.err.getvalue() and not kept.deploys.orders
    states = []
    for _ in range(3):
        assert kept.fedctl("secrets", "rotate", "authority-key", "--json", "--yes") == 0
        told = json.loads(kept.out.getvalue())
        states.append(told["state"])
        assert told["steps"] and "PRIVATE" not in kept.out.getvalue() + kept.err.getvalue()
    assert states == ["trusted", "signing", "alone"]
    assert {(order.mode, order.limit, order.stages) for order in kept.deploys.orders} == {
        ("apply", (), ())
    }
    opened = open_authority(kept.home)
    assert opened.certificate != first and not opened.others
    assert kept.fedctl("secrets", "rotate", "authority-key", "--yes") == 0
    assert "ca.pem to everybody who calls a gateway" in " ".join(kept.err.getvalue().split())
    assert kept.fedctl("secrets", "rotate", "authority-key", "--yes", "--undo") == 0
    assert open_authority(kept.home).ca_pem == opened.ca_pem


def test_what_cannot_be_undone_is_not(kept: Stage) -> None:
    key = store_of(kept.home).opened("operator").text
    assert kept.fedctl("secrets", "rotate", "operator", "--undo") == Exit.FAILED
    assert "cannot be undone" in kept.err.getvalue()
    assert store_of(kept.home).opened("operator").text == key


@pytest.mark.parametrize("name", [name for name, known in KNOWN.items() if known.refusal])
def test_what_cannot_be_replaced_says_why(kept: Stage, name: str) -> None:
    assert kept.fedctl("secrets", "rotate", name) == Exit.FAILED
    assert KNOWN[name].refusal[:40] in kept.err.getvalue()


def test_an_unknown_name_is_a_usage_error(kept: Stage) -> None:
    assert kept.fedctl("secrets", "rotate", "nothing") == Exit.USAGE
