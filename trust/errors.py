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
├── StoreError              the operator's encrypted store of secrets
│   ├── IdentityMissing     the age identity that opens it is not where it should be
│   ├── IdentityUnreadable  that file is no identity, or its passphrase is missing or wrong
│   ├── SecretUnreadable    a secret that this identity does not open, or that is another one
│   ├── SecretMissing       a secret that nobody makes unasked is not there
│   ├── SecretConflict      a secret is there twice, and the two differ
│   └── NoMemoryFiles       a key is needed as a file, and this system has none in memory
├── InvalidApiKey           text that is no key of ours (misspelt, cut, or never one)
├── InvalidPepper           the pepper's text is not what it must be
├── PepperUnknown           a version of the pepper that is not there, or must not be dropped
├── InvalidWebhookSecret    text that is no secret, or no two, to sign webhooks with
├── SignatureRefused        a request that is not signed as it must be
└── CustodyError            shares, wrapped keys and envelopes
    ├── ShareUnreadable     printed text that is no share; names the line
    ├── ShareRefused        two shares that do not open a key; names the pair
    ├── HalfRefused         a holder gives no half for this key, or has one for another
    ├── BlobUnreadable      bytes that are no wrapped key or no envelope
    ├── WrappedKeyAltered   a wrapped key opens, but parts of it are not its own
    ├── EnvelopeRefused     an envelope of another key or place, or a changed one
    ├── WarrantRefused      a warrant for another rotation than the one under way
    ├── SealingKeyRefused   a public key that the authority does not vouch for
    └── KeyExhausted        a key has sealed as many envelopes as it may
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


class StoreError(TrustError):
    """The operator's encrypted store cannot be used as it is. Never tells a secret."""


class IdentityMissing(StoreError):
    """There are encrypted secrets, and the identity that opens them is gone."""


class IdentityUnreadable(StoreError):
    """The identity's file holds something else, or its own passphrase is missing or wrong."""


class SecretUnreadable(StoreError):
    """A file of the store that does not open, or that holds the secret of another name."""


class SecretMissing(StoreError):
    """A secret that is never made unasked is not in the store; the text says how to make it."""


class SecretConflict(StoreError):
    """A plain file and the store hold different secrets of one name; nobody knows which counts."""


class NoMemoryFiles(StoreError):
    """This system has no files in memory, and nobody has named a folder for keys."""


class InvalidApiKey(TrustError):
    """Text that cannot be one of our API keys. The text itself is never in the message."""


class InvalidPepper(TrustError):
    """A pepper of the wrong shape. The text itself is never in the message."""


class PepperUnknown(TrustError):
    """A version of the pepper that is not there, or that must not be dropped."""


class InvalidWebhookSecret(TrustError):
    """Not one or two lines of `whsec_` and base64."""


class SignatureRefused(TrustError):
    """A request whose signature is missing, malformed, of another time, or of nobody we know."""


class CustodyError(TrustError):
    """Base of what can go wrong with shares, wrapped keys and envelopes. Never tells a secret."""


class ShareUnreadable(CustodyError):
    """Printed text that is no share: `line` is the first wrong one, counted from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line


class ShareRefused(CustodyError):
    """Two shares that do not open a key: `pair` is their holders, `key` the key's name."""

    def __init__(self, pair: tuple[str, str], key: str) -> None:
        super().__init__(
            f"{pair[0]} and {pair[1]} do not open {key}: one of the two shares is not the one it "
            "was wrapped for, or their wrap was changed"
        )
        self.pair, self.key = pair, key


class HalfRefused(CustodyError):
    """Nobody gives this half: it is for another data key, or its holder says no (and why)."""


class BlobUnreadable(CustodyError):
    """Bytes of another shape than a wrapped key or an envelope has."""


class WrappedKeyAltered(CustodyError):
    """A wrapped key that opens, but that was put together or changed by somebody else."""


class EnvelopeRefused(CustodyError):
    """An envelope that this key does not open in this place, or that was changed."""


class WarrantRefused(CustodyError):
    """A warrant for epochs that no rotation under way is about."""


class SealingKeyRefused(CustodyError):
    """A sealing key of another data key, or one that the federation's authority did not sign."""


class KeyExhausted(CustodyError):
    """A data key has sealed as many envelopes as random nonces allow; rotate it."""
