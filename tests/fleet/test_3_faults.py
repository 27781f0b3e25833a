"""Everything the issue says must be survived, done to real machines."""

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploys.authority import open_authority
from deploys.layout import AUTHORITY, CERTIFICATE
from inventory.model import Node, Role
from inventory.services import services
from tests.fleet.test_2_replication import well
from tests.support.fleet import COMMAND_SECONDS, Fleet, wait_for
from trust.operator_ssh import SSH
from trust.secret_store import SecretStore

UNREACHABLE, LOCKED, ROLLED_BACK, INTERRUPTED, PENDING = 6, 7, 4, 130, 3
# A file every node has and an apply puts back: the cheapest way to give an apply work to do.
DRIFT = AUTHORITY


def drift(fleet: Fleet, node: Node) -> None:
    """Make one pending change on `node`."""
    fleet.shell(node, f"chmod 0600 {DRIFT}")


def drifted(fleet: Fleet, node: Node) -> bool:
    """Whether the change is still there."""
    return fleet.shell(node, f"stat -c %a {DRIFT}").strip() == "600"


def test_drift_is_shown_by_plan_and_undone_by_apply(restored: Fleet) -> None:
    node = restored.one(Role.WORKER)
    drift(restored, node)
    shown = restored.fedctl("plan", expect=PENDING)
    assert DRIFT in shown.stdout + shown.stderr
    assert drifted(restored, node), "plan changes nothing"
    restored.fedctl("apply", "--yes")
    assert not drifted(restored, node)
    restored.fedctl("plan", expect=0)


def test_a_selector_that_matches_nothing_is_an_error(fleet: Fleet) -> None:
    done = fleet.fedctl("apply", "--yes", "--limit", "no-such-node", expect=None)
    assert done.returncode == 2
    assert "no-such-node" in done.stderr


def test_a_wrong_key_is_said_plainly(fleet: Fleet, tmp_path: Path) -> None:
    store = SecretStore.of(fleet.home)
    kept, other = store.opened(SSH).text, tmp_path / "other"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)],
        check=True,
    )
    store.put(SSH, other.read_text())
    try:
        done = fleet.fedctl("plan", expect=UNREACHABLE)
        assert "key" in done.stderr.lower()
    finally:
        store.put(SSH, kept)
    fleet.fedctl("plan", expect=0)


def test_a_changed_host_key_is_refused(fleet: Fleet) -> None:
    pinned = fleet.home.known_hosts
    kept = pinned.read_text()
    node, other = fleet.one(Role.WORKER), fleet.one(Role.DATA)
    lines = kept.splitlines()
    foreign = next(line for line in lines if str(other.address) in line.split()[0])
    forged = [
        " ".join([line.split()[0], *foreign.split()[1:]])
        if str(node.address) in line.split()[0] or node.name in line.split()[0]
        else line
        for line in lines
    ]
    pinned.write_text("\n".join(forged) + "\n")
    try:
        done = fleet.fedctl("plan", expect=UNREACHABLE)
        assert "host key" in done.stderr.lower()
        assert node.name in done.stderr
    finally:
        pinned.write_text(kept)
    fleet.fedctl("plan", expect=0)


def test_a_node_that_is_down_is_named_and_the_rest_is_not_touched(restored: Fleet) -> None:
    down, other = restored.federation.with_role(Role.WORKER)[:2]
    drift(restored, other)
    restored.fedctl("lab", "kill", down.name, "--yes")
    try:
        done = restored.fedctl("apply", "--yes", expect=UNREACHABLE)
        assert down.name in done.stderr
    finally:
        restored.fedctl("lab", "boot", down.name)
    restored.fedctl("apply", "--yes")
    assert not drifted(restored, other)


def test_a_node_dying_in_the_middle_is_noticed_and_a_rerun_completes(restored: Fleet) -> None:
    node = restored.one(Role.WORKER)
    restored.shell(node, "rm -rf /opt/federation/releases /opt/federation/current")
    running = restored.start("apply", "--yes", "--limit", node.name)
    started = "pgrep -f releases >/dev/null || test -e /opt/federation/releases"
    wait_for(
        lambda: (
            restored.fedctl(
                "lab", "exec", node.name, "--", "sh", "-c", started, expect=None
            ).returncode
            == 0
        ),
        180,
        "the release being installed",
    )
    restored.fedctl("lab", "kill", node.name, "--yes")
    _, errors = running.communicate(timeout=300)
    assert running.returncode in (1, UNREACHABLE), errors
    assert node.name in errors
    restored.fedctl("lab", "boot", node.name)
    restored.fedctl("apply", "--yes")
    restored.fedctl("plan", expect=0)


def test_a_full_disk_is_said_plainly_and_breaks_nothing(restored: Fleet) -> None:
    node = restored.one(Role.WORKER)
    before = restored.shell(node, "sha256sum /etc/hosts")
    restored.shell(node, "mount -t tmpfs -o size=64k tmpfs /mnt && cp -a /etc/federation/. /mnt/")
    restored.shell(
        node,
        "mount --bind /mnt /etc/federation && "
        "(dd if=/dev/zero of=/etc/federation/filler bs=1k count=1000 2>/dev/null; true) && "
        f"rm -f {DRIFT} && dd if=/dev/zero of=/etc/federation/filler2 bs=1k count=1000; true",
        expect=None,
    )
    try:
        done = restored.fedctl("apply", "--yes", "--limit", node.name, expect=1)
        assert "no space left" in (done.stderr + done.stdout).lower()
    finally:
        restored.shell(node, "umount /etc/federation; umount /mnt", expect=None)
    assert restored.shell(node, "sha256sum /etc/hosts") == before


def test_two_operators_at_once(restored: Fleet) -> None:
    """The first is stopped in its tracks while it holds the lock: the second must meet it."""
    node = restored.one(Role.WORKER)
    restored.shell(node, "rm -rf /opt/federation/releases /opt/federation/current")
    first = restored.start("apply", "--yes")
    wait_for(lambda: locked(restored), 120, "the first operator's lock")
    os.killpg(first.pid, signal.SIGSTOP)
    try:
        second = restored.fedctl("apply", "--yes", expect=LOCKED)
        assert str(first.pid) in second.stderr, "it says who holds the lock"
    finally:
        os.killpg(first.pid, signal.SIGCONT)
    _, errors = first.communicate(timeout=COMMAND_SECONDS)
    assert first.returncode == 0, errors
    assert not locked(restored)
    restored.fedctl("plan", expect=0)


def locked(fleet: Fleet) -> bool:
    """Whether somebody holds the fleet lock."""
    held: bool = json.loads(fleet.fedctl("--json", "lock", "show").stdout)["held"]
    return held


def test_ctrl_c_at_any_phase(restored: Fleet) -> None:
    """Each interruption is followed by another run, the last one by a whole one."""
    for after_seconds in (0.3, 1.0, 2.0, 3.0, 4.5):
        for node in restored.federation.nodes:
            drift(restored, node)
        running = restored.start("apply", "--yes")
        time.sleep(after_seconds)
        with suppress(ProcessLookupError):  # a quick machine may be done by then
            os.killpg(running.pid, signal.SIGINT)
        _, errors = running.communicate(timeout=300)
        assert running.returncode in (INTERRUPTED, 0), (after_seconds, errors)
        if running.returncode == 0:
            assert not any(drifted(restored, node) for node in restored.federation.nodes)
        assert "Traceback" not in errors, after_seconds
        assert not locked(restored), after_seconds
    restored.fedctl("apply", "--yes")
    restored.fedctl("plan", expect=0)


def test_a_firewall_that_locks_the_operator_out_undoes_itself(restored: Fleet) -> None:
    """An inventory with a wrong operator address yields rules that cut this computer off."""
    node = restored.one(Role.WORKER)
    before = restored.shell(node, "nft list table inet federation | sha256sum")
    text = restored.inventory.read_text()
    right = f'operator_addresses = ["{restored.federation.network.operator_addresses[0]}"]'
    assert right in text
    wrong = right.replace('.1"', '.250"')
    restored.inventory.write_text(text.replace(right, wrong))
    try:
        done = restored.fedctl("apply", "--yes", "--limit", node.name, expect=None)
    finally:
        restored.inventory.write_text(text)
    assert done.returncode == ROLLED_BACK, done.stderr
    assert "undone" in done.stderr.lower() or "rolled back" in done.stderr.lower()
    assert restored.shell(node, "nft list table inet federation | sha256sum") == before
    restored.fedctl("plan", expect=0)


def test_a_deleted_node_is_rebuilt_by_bootstrap(restored: Fleet) -> None:
    node = restored.one(Role.GATEWAY, 1)
    restored.fedctl("lab", "reset", node.name, "--yes")
    restored.fedctl("bootstrap", node.name, "--yes", timeout_seconds=COMMAND_SECONDS * 2)
    restored.fedctl("plan", expect=0)
    for unit in services(node):
        asked = partial(restored.shell, node, f"systemctl is-active {unit}", expect=None)
        wait_for(lambda: asked().strip() == "active", 60, unit)  # noqa: B023
    # It may be a data node: then it has joined etcd anew and follows with a copy of everything.
    well(restored)


def test_an_expired_certificate_is_renewed_and_loaded(restored: Fleet) -> None:
    node = restored.one(Role.GATEWAY)
    restored.shell(node, f"printf '%s' '{expired(restored, node)}' > {CERTIFICATE}")
    shown = restored.fedctl("plan", expect=PENDING)
    assert "it expired on" in shown.stdout + shown.stderr
    restored.fedctl("apply", "--yes")
    restored.shell(node, f"openssl verify -CAfile {AUTHORITY} {CERTIFICATE}")
    restored.shell(node, f"openssl x509 -noout -checkend 2000000 -in {CERTIFICATE}")
    restored.fedctl("plan", expect=0)


def expired(fleet: Fleet, node: Node) -> str:
    """A certificate of the fleet's own authority for this node whose one second is over."""
    federation = fleet.federation
    names = (node.name, federation.fqdn(node), "localhost")
    addresses = (node.address, IPv4Address("127.0.0.1"))
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    request = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    authority = open_authority(fleet.home)
    pem = authority.sign(request, names, addresses, datetime.now(UTC), timedelta(seconds=1))
    time.sleep(2)
    return pem.decode()


def test_a_tampered_migration_is_refused(restored: Fleet) -> None:
    node = restored.leader()
    found = restored.shell(
        node, "find -L /opt/federation/current/lib -name '*.up.sql' | sort | head -1"
    ).strip()
    assert found
    restored.shell(node, f"cp -p {found} /root/kept.sql && echo '-- changed' >> {found}")
    try:
        done = restored.fedctl("apply", "--yes", expect=1)
        shown = done.stdout + done.stderr
        assert Path(found).name.split(".")[0] in shown
        assert "checksum" in shown or "changed" in shown
    finally:
        restored.shell(node, f"cp -p /root/kept.sql {found}; rm /root/kept.sql")
    restored.fedctl("plan", expect=0)
