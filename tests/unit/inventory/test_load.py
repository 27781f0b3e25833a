"""inventory/load.py: a wrong file is refused with field, value and what was expected."""

import copy
import tomllib
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory import load as loading
from inventory.errors import InventoryError, InventoryInvalid, InventoryMissing
from inventory.load import load, parse, resolvers

GOOD: dict[str, Any] = tomllib.loads("""
name = "sample"
kind = "site"
domain = "sample.internal"
[network]
subnet = "192.0.2.0/24"
operator_addresses = ["192.0.2.9"]
dns_servers = ["192.0.2.1"]
[inference]
engine = "cuda"
engine_version = "1.2.3"
served_model_name = "main"
model_path = "/srv/models/main"
[nodes.alpha]
address = "192.0.2.11"
roles = ["inference", "gateway"]
hardware = { memory_gib = 8 }
[nodes.beta]
address = "192.0.2.12"
roles = ["data", "monitoring"]
hardware = { memory_gib = 8 }
""")

DELETED = object()
BOTH_BACKUP = {
    name: {**node, "roles": [*node["roles"], "backup"]} for name, node in GOOD["nodes"].items()
}


def changed(place: str, value: object) -> dict[str, Any]:
    """GOOD with the field at the dotted `place` replaced, or deleted."""
    data = copy.deepcopy(GOOD)
    *folders, last = place.split(".")
    table = data
    for folder in folders:
        table = table.setdefault(folder, {})
    if value is DELETED:
        del table[last]
    else:
        table[last] = value
    return data


@pytest.mark.parametrize("name", ["lab.toml", "federation.toml"])
def test_the_files_we_ship_load(name: str) -> None:
    federation = load(loading.HERE / name)
    assert len(federation.nodes) == 6


# (what is changed, to what, the field the report names, words its expectation contains)
REFUSED: dict[str, tuple[str, object, str, str]] = {
    "a hedge at once": (
        "inference.hedge_after_seconds",
        0,
        "inference.hedge_after_seconds",
        "greater than 0",
    ),
    "a hedge that no gateway waits for": (
        "inference.hedge_whole_after_seconds",
        float("nan"),
        "inference.hedge_whole_after_seconds",
        "less than or equal to 300",
    ),
    "hedges without end": (
        "inference.hedge_max_share",
        1.5,
        "inference.hedge_max_share",
        "less than or equal to 1",
    ),
    "a node outside the subnet": (
        "nodes.alpha.address",
        "203.0.113.1",
        "nodes.alpha.address",
        "192.0.2.0/24",
    ),
    "an address that is none": (
        "nodes.alpha.address",
        "192.0.2.300",
        "nodes.alpha.address",
        "IPv4",
    ),
    "an address written as a number": (
        "nodes.alpha.address",
        3221225995,
        "nodes.alpha.address",
        "quotes",
    ),
    "the subnet's own address": (
        "nodes.alpha.address",
        "192.0.2.0",
        "nodes.alpha.address",
        "first or last",
    ),
    "two nodes with one address": (
        "nodes.beta.address",
        "192.0.2.11",
        "nodes.beta.address",
        "alpha",
    ),
    "a role nobody knows": ("nodes.beta.roles", ["dta"], "nodes.beta.roles.0", "data"),
    "a role twice": ("nodes.beta.roles", ["data", "data"], "nodes.beta.roles", "once"),
    "two data nodes": ("nodes.alpha.roles", ["data"], "nodes", "no majority"),
    "a backup and its copy together": (
        "nodes.beta.roles",
        ["data", "backup", "offsite"],
        "nodes",
        "lost with it",
    ),
    "two repositories": ("nodes", BOTH_BACKUP, "nodes", "one node with the role backup"),
    "a copy of nothing": ("nodes.alpha.roles", ["offsite"], "nodes", "to copy from"),
    "a backup of nothing": ("nodes.beta.roles", ["backup"], "nodes", "to back up"),
    "data on a Mac": ("nodes.beta.platform", "macos", "nodes.beta.roles", "no data on macOS"),
    "a node without roles": ("nodes.beta.roles", [], "nodes.beta.roles", "at least 1"),
    "roles as text": ("nodes.beta.roles", "data", "nodes.beta.roles", "tuple"),
    "memory in quotes": (
        "nodes.beta.hardware.memory_gib",
        "8",
        "nodes.beta.hardware.memory_gib",
        "integer",
    ),
    "memory true": (
        "nodes.beta.hardware.memory_gib",
        True,
        "nodes.beta.hardware.memory_gib",
        "integer",
    ),
    "a field misspelt": ("nodes.beta.adress", "192.0.2.12", "nodes.beta.adress", "no such field"),
    "a field missing": ("nodes.beta.hardware", DELETED, "nodes.beta.hardware", "required"),
    "a node name with a capital": ("nodes.Gamma", {}, "nodes.Gamma.name", "pattern"),
    "a node name that ends a line": ("nodes.gamma\n", {}, "nodes.gamma\n.name", "pattern"),
    "a node called as a role": (
        "nodes.operator",
        {**GOOD["nodes"]["alpha"], "address": "192.0.2.13"},
        "nodes.operator",
        "a person's certificate",
    ),
    "a node that renames itself": ("nodes.beta.name", "gamma", "nodes.beta.name", "table's own"),
    "a node that is no table": ("nodes.beta", 3, "nodes.beta", "table"),
    "nodes as a list": ("nodes", [], "nodes", "[nodes.NAME]"),
    "no nodes": ("nodes", {}, "nodes", "at least 1"),
    "two services on one port": ("ports.prometheus", 8443, "ports.prometheus", "ports.gateway"),
    "a service on the SSH port": ("ports.vllm", 22, "nodes.alpha.ssh.port", "ports.vllm"),
    "port 0": ("ports.vllm", 0, "ports.vllm", "greater"),
    "port 65536": ("ports.vllm", 65536, "ports.vllm", "65535"),
    "root as the operator's user": ("operator_user", "root", "operator_user", "root login"),
    "a user name with a shell character": ("operator_user", "a;b", "operator_user", "pattern"),
    "a site without name servers": ("network.dns_servers", [], "network.dns_servers", "at least"),
    "a time server that adds a line to chrony.conf": (
        "network.ntp_servers",
        ["time.example\nallow all"],
        "network.ntp_servers.0",
        "pattern",
    ),
    "a subnet with host bits": ("network.subnet", "192.0.2.7/24", "network.subnet", "network"),
    "no operator address": (
        "network.operator_addresses",
        [],
        "network.operator_addresses",
        "at least 1",
    ),
    "a model path with a space": (
        "inference.model_path",
        "/srv/my model",
        "inference.model_path",
        "pattern",
    ),
    "a site without a model": ("inference.model_path", "", "inference.model_path", "absolute"),
    "a model name with a new line": (
        "inference.served_model_name",
        "m\nExecStart=/bin/sh",
        "inference.served_model_name",
        "pattern",
    ),
    "a tool call parser nobody knows": (
        "inference.tool_call_parser",
        "hermse",
        "inference.tool_call_parser",
        "did you mean hermes",
    ),
    "a tool call parser that is a command": (
        "inference.tool_call_parser",
        "hermes --api-key x",
        "inference.tool_call_parser",
        "no tool call parser",
    ),
    "a relative model path": (
        "inference.model_path",
        "models/main",
        "inference.model_path",
        "pattern",
    ),
    "not a number": (
        "inference.gpu_memory_utilization",
        float("nan"),
        "inference.gpu_memory_utilization",
        "less than",
    ),
    "an engine nobody knows": ("inference.engine", "tpu", "inference.engine", "'cuda'"),
    "a kind nobody knows": ("kind", "Lab", "kind", "'site'"),
    "a host key of a weak kind": (
        "nodes.beta.ssh",
        {"host_key": "ssh-rsa AAAA"},
        "nodes.beta.ssh",
        "ssh-ed25519",
    ),
    "a collector that is no node": (
        "tracing",
        {"collector": "nobody"},
        "tracing.collector",
        "the name of a node",
    ),
    "a table where text belongs": ("domain", {}, "domain", "string"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_it_refuses(case: str) -> None:
    place, value, field, words = REFUSED[case]
    with pytest.raises(InventoryInvalid) as refusal:
        parse(changed(place, value))
    found = {problem.field: problem for problem in refusal.value.problems}
    assert field in found, found
    assert words in found[field].expected
    assert field in str(refusal.value)


def test_a_report_shows_the_value_found() -> None:
    with pytest.raises(InventoryInvalid) as refusal:
        parse(changed("nodes.alpha.address", "203.0.113.1"))
    assert [str(problem) for problem in refusal.value.problems] == [
        "nodes.alpha.address = '203.0.113.1': an address inside network.subnet (192.0.2.0/24)"
    ]


def test_every_contradiction_is_reported_at_once() -> None:
    data = changed("nodes.alpha.address", "203.0.113.1")
    data["ports"] = {"prometheus": 8443}
    data["operator_user"] = "root"
    with pytest.raises(InventoryInvalid) as refusal:
        parse(data)
    assert len(refusal.value.problems) == 3


def test_a_lab_cannot_make_a_mac() -> None:
    data = changed("nodes.alpha.platform", "macos")
    data["kind"] = "lab"
    with pytest.raises(InventoryInvalid, match=r"nodes\.alpha\.platform"):
        parse(data)


HOSTILE: dict[str, bytes] = {
    "bytes that are not UTF-8": b'name = "\xff"',
    "an open quote": b'name = "',
    "nesting deeper than the stack": b"a = " + b"[" * 100_000,
    "a number with five thousand digits": b"a = " + b"9" * 5000,
    "a hexadecimal number too long to print": b"name = 0x" + b"f" * 9000,
    "a key twice": b"a = 1\na = 2",
    "nothing": b"",
    "zero bytes": b"\0" * 100,
    "two MiB of comment": b"#" * (2 << 20),
    "a date for a name": b"name = 2020-01-01",
    "nodes as an array of tables": b"[[nodes]]\nname = 'x'\n",
}


@pytest.mark.parametrize("case", HOSTILE, ids=str)
def test_hostile_files_are_refused_in_one_typed_way(case: str, tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.write_bytes(HOSTILE[case])
    with pytest.raises(InventoryInvalid) as refusal:
        load(path)
    assert refusal.value.problems
    assert len(str(refusal.value)) < 20_000


def test_a_missing_file_and_a_folder_are_missing(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.toml", tmp_path):
        with pytest.raises(InventoryMissing, match=str(path)):
            load(path)


JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.dates()
    | st.sampled_from(["192.0.2.13", "data", "lab", "site", "root", "0.0.0.0/0", "::1"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)


def places(table: dict[str, Any], prefix: str = "") -> list[str]:
    """Every dotted place in `table`, leaves and tables alike."""
    found = []
    for key, value in table.items():
        found.append(prefix + key)
        if isinstance(value, dict):
            found.extend(places(value, f"{prefix}{key}."))
    return found


EXTRA = ["ports", "ports.vllm", "nodes.alpha.ssh", "nodes.beta.limits", "nodes.alpha.platform"]


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(place=st.sampled_from([*places(GOOD), *EXTRA]), value=JSONISH)
def test_no_value_anywhere_escapes_as_another_error(place: str, value: object) -> None:
    data = changed(place, value)
    try:
        federation = parse(data)
    except InventoryError as error:
        assert str(error)
    else:
        assert federation.nodes


@pytest.mark.long
@settings(max_examples=300, deadline=None)
@given(data=st.dictionaries(st.text(max_size=12) | st.sampled_from(list(GOOD)), JSONISH))
def test_no_table_escapes_as_another_error(data: dict[str, Any]) -> None:
    with pytest.raises(InventoryError):
        parse(data)


def test_resolvers_keep_what_another_machine_can_reach() -> None:
    text = (
        "# a comment\n"
        "nameserver 127.0.0.53\n"
        "nameserver fe80::1%eth0\n"
        "nameserver 192.0.2.1\n"
        "nameserver 192.0.2.1\n"
        "nameserver\n"
        "search example\n"
        "options edns0\n"
    )
    assert resolvers(text) == (IPv4Address("192.0.2.1"),)


def test_a_lab_without_name_servers_takes_this_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, real = tmp_path / "stub.conf", tmp_path / "real.conf"
    stub.write_text("nameserver 127.0.0.53\n")
    real.write_text("nameserver 198.51.100.5\n")
    monkeypatch.setattr(loading, "RESOLV_CONFS", (tmp_path / "none", stub, real))
    data = changed("network.dns_servers", DELETED)
    data["kind"] = "lab"
    assert parse(data).network.dns_servers == (IPv4Address("198.51.100.5"),)
