"""deploys/hosts_file.py: every node by both names, and localhost."""

from deploys.hosts_file import hosts_file
from inventory.load import HERE, load

SITE = load(HERE / "federation.toml")


def test_each_node_is_there_once_by_full_and_short_name() -> None:
    rows = [line.split() for line in hosts_file(SITE).splitlines() if not line.startswith("#")]
    for node in SITE.nodes:
        assert rows.count([str(node.address), SITE.fqdn(node), node.name]) == 1


def test_localhost_is_itself_and_nobody_else() -> None:
    rows = [line.split() for line in hosts_file(SITE).splitlines()]
    assert [row[0] for row in rows if "localhost" in row] == ["127.0.0.1", "::1"]
