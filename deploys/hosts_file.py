"""The text of /etc/hosts: every node by full and short name, without a name server. Pure."""

from inventory.model import Federation

HEADER = """\
# Managed by the federation operator; changes are overwritten.
127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
"""


def hosts_file(federation: Federation) -> str:
    """The same file for every node: a node finds itself by the address the others use."""
    width = max(len(str(node.address)) for node in federation.nodes)
    lines = [
        f"{node.address!s:<{width}} {federation.fqdn(node)} {node.name}\n"
        for node in federation.nodes
    ]
    return HEADER + "".join(lines)
