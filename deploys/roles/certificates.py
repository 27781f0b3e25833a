"""A node's certificate: 30 days, its own names, renewed at half life, its key never leaving it.

Needs nothing but base, so it can be applied alone. Services that loaded an older certificate are
restarted with it: they record the sums of what they loaded. The database's are restarted by the
data role, one node at a time.
"""

from pyinfra.api import deploy

from deploys.authority import addresses_of, authority_of, names_of, open_authority
from deploys.context import NodeContext
from deploys.errors import OperationFailed
from deploys.operations.certificate import Signer, certificate
from deploys.replication import ETCD, PATRONI
from trust.errors import AuthorityMissing, TrustError


@deploy("Certificates")
def certificates(context: NodeContext) -> None:
    """The node's certificate and key, and the authority's certificate."""
    certificate(
        name="Certificates: node",
        names=names_of(context.federation, context.node),
        addresses=addresses_of(context.node),
        now=context.now,
        signer=signer_for(context),
        later=(ETCD, PATRONI),
    )


def signer_for(context: NodeContext) -> Signer:
    """Signs for this node and no other name. The authority is made when the first one is signed.

    So planning, which changes nothing, makes no authority either.
    """
    try:
        authority_pem = open_authority(context.home).ca_pem
    except AuthorityMissing:
        authority_pem = b""
    except TrustError as error:
        raise OperationFailed(f"the operator's authority: {error}") from error

    def sign(request: bytes) -> tuple[bytes, bytes]:
        names = names_of(context.federation, context.node)
        try:
            authority = authority_of(context.federation, context.home, context.now)
            issued = authority.sign(request, names, addresses_of(context.node), context.now)
        except TrustError as error:
            raise OperationFailed(f"the operator's authority: {error}") from error
        return issued, authority.ca_pem

    return Signer(authority_pem, sign)
