"""roles/certificates.py against a simulated node that keeps its own key, and a real authority."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploys.authority import addresses_of, authority_of, names_of, succession
from deploys.context import NodeContext
from deploys.layout import AUTHORITY, CERTIFICATE, SEALED_KEY
from deploys.operations.certificate import MODES
from deploys.roles.certificates import certificates
from tests.ops.contexts import context
from tests.ops.harness import SimulatedNode, apply, plan
from trust.certificate import decide, describe

ISSUED = ["create /etc/federation/tls/ca.pem", "create /etc/federation/tls/node.pem"]
INSTALLED = "install certificates, keys and modes"
LOOKED = "see who loaded other files"
UNIT = "federation-example.service"


class NodeWithKey:
    """Plays the certificate scripts: a key that never leaves, files, modes."""

    def __init__(self, common_name: str = "") -> None:
        self.files: dict[str, str] = {CERTIFICATE: "", AUTHORITY: ""}
        self.modes = {CERTIFICATE: "", AUTHORITY: "", SEALED_KEY: ""}
        self.key: ec.EllipticCurvePrivateKey | None = None
        self.new: ec.EllipticCurvePrivateKey | None = None
        self.readable = True
        # A node that was taken over asks for another name.
        self.claims = common_name
        self.power_cut = False
        # What a running service loaded, if there is one.
        self.loaded: dict[str, str] = {}
        self.node = SimulatedNode(
            scripts={
                "certificate_state": self.state,
                "certificate_request": self.request,
                "certificate_install": self.install,
                "units_apply": self.restart,
            }
        )

    def state(self, argument: dict[str, str]) -> dict[str, Any]:
        assert argument == {"certificate": CERTIFICATE, "authority": AUTHORITY, "key": SEALED_KEY}
        return {
            "certificate": self.files[CERTIFICATE],
            "authority": self.files[AUTHORITY],
            "key": self.fault(),
            "modes": self.modes,
            "serving": [UNIT] if self.loaded else [],
            "stale": [UNIT] if self.loaded and self.loaded != self.files else [],
        }

    def start(self) -> None:
        self.loaded = dict(self.files)

    def restart(self, argument: dict[str, Any]) -> None:
        assert argument["start"] == [["restart", UNIT]]
        self.start()

    def fault(self) -> str:
        if self.key is None:
            return "missing"
        if not self.readable:
            return "unreadable"
        try:
            held = x509.load_pem_x509_certificate(self.files[CERTIFICATE].encode())
        except ValueError:
            return "foreign"
        return "usable" if held.public_key() == self.key.public_key() else "foreign"

    def request(self, argument: dict[str, str]) -> dict[str, str]:
        self.new = ec.generate_private_key(ec.SECP256R1())
        name = self.claims or argument["common_name"]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        signed = builder.sign(self.new, hashes.SHA256())
        return {"request": signed.public_bytes(serialization.Encoding.PEM).decode()}

    def install(self, argument: dict[str, Any]) -> None:
        if argument["new_key"]:
            self.key, self.new, self.readable = self.new, None, True
        if self.power_cut:
            return
        for name in ("authority", "certificate"):
            if argument[f"{name}_pem"]:
                self.files[argument[name]] = argument[f"{name}_pem"]
        self.modes = dict(MODES)


@pytest.fixture
def given(tmp_path: Path) -> NodeContext:
    return context(tmp_path)


@pytest.fixture
def machine(given: NodeContext) -> NodeWithKey:
    """A node that has its certificate."""
    machine = NodeWithKey()
    apply(certificates, given, machine.node)
    return machine


def reasons(given: NodeContext, machine: NodeWithKey) -> str:
    return "".join(c.diff for c in plan(certificates, given, machine.node)["Certificates: node"])


def test_a_bare_node_gets_its_own_names_from_a_new_authority(given: NodeContext) -> None:
    machine = NodeWithKey()
    done = apply(certificates, given, machine.node)
    assert done == [*ISSUED, f"create {SEALED_KEY}", INSTALLED, LOOKED]
    facts = describe(machine.files[CERTIFICATE].encode())
    assert facts.common_name == given.node.name
    assert set(facts.names) == {given.node.name, given.federation.fqdn(given.node), "localhost"}
    assert set(map(str, facts.addresses)) == {str(given.node.address), "127.0.0.1"}
    assert facts.not_after - given.now <= timedelta(days=30)
    assert machine.fault() == "usable"
    assert apply(certificates, given, machine.node) == []


def test_planning_makes_no_authority(given: NodeContext) -> None:
    pending = plan(certificates, given, NodeWithKey().node)
    assert "there is no authority yet" in pending["Certificates: node"][1].diff
    assert not given.home.authority.exists()


def test_a_certificate_is_kept_until_half_of_its_life(
    given: NodeContext, machine: NodeWithKey
) -> None:
    early = replace(given, now=given.now + timedelta(days=14))
    late = replace(given, now=given.now + timedelta(days=16))
    assert apply(certificates, early, machine.node) == []
    assert "half of its life" in reasons(late, machine)
    old_key = machine.key
    assert INSTALLED in apply(certificates, late, machine.node)
    assert machine.key is not old_key, "a renewed certificate has a new key"
    assert apply(certificates, late, machine.node) == []


def test_a_lost_unreadable_or_foreign_key_means_a_new_one(
    given: NodeContext, machine: NodeWithKey
) -> None:
    machine.key = None
    assert "its key is not there" in reasons(given, machine)
    apply(certificates, given, machine.node)
    machine.readable = False
    assert "cannot be decrypted" in reasons(given, machine)
    apply(certificates, given, machine.node)
    machine.key = ec.generate_private_key(ec.SECP256R1())
    assert "its key is another one" in reasons(given, machine)
    apply(certificates, given, machine.node)
    assert apply(certificates, given, machine.node) == []


def test_a_power_cut_between_key_and_certificate_heals(
    given: NodeContext, machine: NodeWithKey
) -> None:
    late = replace(given, now=given.now + timedelta(days=16))
    machine.power_cut = True
    apply(certificates, late, machine.node)
    assert machine.fault() == "foreign"
    machine.power_cut = False
    apply(certificates, late, machine.node)
    assert machine.fault() == "usable"
    assert apply(certificates, late, machine.node) == []


def test_a_certificate_that_is_none_is_replaced(given: NodeContext, machine: NodeWithKey) -> None:
    machine.files[CERTIFICATE] = "\ufffd garbage"
    assert "cannot be read" in reasons(given, machine)
    apply(certificates, given, machine.node)
    assert apply(certificates, given, machine.node) == []


def test_a_changed_mode_is_mended_without_a_new_certificate(
    given: NodeContext, machine: NodeWithKey
) -> None:
    before = machine.files[CERTIFICATE]
    machine.modes[AUTHORITY] = "0600 root:root"
    assert apply(certificates, given, machine.node) == [INSTALLED]
    assert machine.files[CERTIFICATE] == before
    assert apply(certificates, given, machine.node) == []


def test_a_changed_authority_file_is_put_back(given: NodeContext, machine: NodeWithKey) -> None:
    before = machine.files[AUTHORITY]
    machine.files[AUTHORITY] = before + "\n"
    assert apply(certificates, given, machine.node) == [INSTALLED]
    assert machine.files[AUTHORITY] == before


def test_services_that_loaded_the_old_certificate_are_restarted(
    given: NodeContext, machine: NodeWithKey
) -> None:
    machine.start()
    assert apply(certificates, given, machine.node) == []
    late = replace(given, now=given.now + timedelta(days=16))
    changes = plan(certificates, late, machine.node)["Certificates: node"]
    assert f"restart {UNIT}" in [str(change) for change in changes]
    assert apply(certificates, late, machine.node)[-1] == f"restart {UNIT}"
    assert machine.loaded == machine.files
    assert apply(certificates, late, machine.node) == []


def test_an_interrupted_renewal_still_restarts_them(
    given: NodeContext, machine: NodeWithKey
) -> None:
    machine.loaded = {CERTIFICATE: "the one before"}
    assert apply(certificates, given, machine.node) == [LOOKED, f"restart {UNIT}"]
    assert apply(certificates, given, machine.node) == []


def test_a_file_put_back_restarts_nobody_who_loaded_the_right_one(
    given: NodeContext, machine: NodeWithKey
) -> None:
    machine.start()
    machine.files[AUTHORITY] += "\n"
    assert apply(certificates, given, machine.node) == [INSTALLED, LOOKED]
    assert apply(certificates, given, machine.node) == []


def test_a_node_cannot_name_itself(given: NodeContext) -> None:
    machine = NodeWithKey(common_name="operator")
    apply(certificates, given, machine.node)
    assert describe(machine.files[CERTIFICATE].encode()).common_name == given.node.name


def test_a_moved_node_gets_a_certificate_with_its_new_address(
    given: NodeContext, machine: NodeWithKey
) -> None:
    address = given.federation.network.subnet[200]
    moved = replace(given, node=given.node.model_copy(update={"address": address}))
    assert "addresses changed" in reasons(moved, machine)
    apply(certificates, moved, machine.node)
    authority = authority_of(given.federation, given.home, given.now)
    names, addresses = names_of(moved.federation, moved.node), addresses_of(moved.node)
    held = machine.files[CERTIFICATE].encode()
    assert decide(held, authority.ca_pem, names, addresses, given.now).kind == "keep"


def test_no_key_appears_in_what_is_said(given: NodeContext) -> None:
    machine = NodeWithKey()
    pending = plan(certificates, given, machine.node)
    said = str(pending) + "".join(apply(certificates, given, machine.node))
    assert "PRIVATE" not in said
    assert "BEGIN" not in said


def test_one_authority_succeeds_another_in_three_steps_and_nothing_twice(
    given: NodeContext, machine: NodeWithKey
) -> None:
    turn, old_key = succession(given.home), machine.key
    machine.start()
    trust = [INSTALLED, LOOKED, f"restart {UNIT}"]

    turn.begin(given.now)
    assert apply(certificates, given, machine.node) == trust
    assert apply(certificates, given, machine.node) == [] and machine.key is old_key

    turn.switch()
    assert "another authority" in reasons(given, machine)
    assert INSTALLED in apply(certificates, given, machine.node) and machine.key is not old_key
    assert apply(certificates, given, machine.node) == []
    assert machine.loaded == machine.files

    turn.drop()
    assert apply(certificates, given, machine.node) == trust
    assert apply(certificates, given, machine.node) == []
    assert machine.files[AUTHORITY].count("BEGIN CERTIFICATE") == 1
