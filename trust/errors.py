"""What can go wrong with keys and certificates.

TrustError
├── AuthorityError          the certificate authority's folder
│   ├── AuthorityMissing    there is none in this folder
│   ├── AuthorityExists     there is one, of another name
│   ├── AuthorityBroken     half of it is lost, unreadable or does not belong together
│   ├── AuthorityExpired    its own certificate is not valid now
│   └── KeyExposed          its private key can be read by others
├── RequestRefused          a signing request that must not be signed
│   └── NamesRefused        names or addresses the authority does not certify
├── CertificateUnreadable   bytes that are no certificate
├── InvalidApiKey           text that is no key of ours (misspelt, cut, or never one)
└── InvalidPepper           the pepper's text is not what it must be
"""


class TrustError(Exception):
    """Base of everything this package raises on purpose."""


class AuthorityError(TrustError):
    """The certificate authority cannot be used as it is."""


class AuthorityMissing(AuthorityError):
    """The folder holds no authority; create one first."""


class AuthorityExists(AuthorityError):
    """The folder already holds an authority of another name."""


class AuthorityBroken(AuthorityError):
    """Certificate and key of the authority are incomplete, unreadable or no pair."""


class AuthorityExpired(AuthorityError):
    """The authority's own certificate is not valid at the time asked for."""


class KeyExposed(AuthorityError):
    """A private key's file is readable by its group or by everybody."""


class RequestRefused(TrustError):
    """A certificate signing request that must not be signed; the text says why."""


class NamesRefused(RequestRefused):
    """A name or address that is malformed or that the authority may not certify."""


class CertificateUnreadable(TrustError):
    """Bytes that should be a PEM certificate and are not."""


class InvalidApiKey(TrustError):
    """Text that cannot be one of our API keys. The text itself is never in the message."""


class InvalidPepper(TrustError):
    """A pepper of the wrong shape. The text itself is never in the message."""
