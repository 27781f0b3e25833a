"""What is believed and why: the private authority, certificates, API keys and 2-of-3 custody.

`authority` keeps a folder and signs, `certificate` decides about renewal (pure), `signing` builds
X.509, `apikeys` makes and recognises keys (pure but for `generate`), `files` writes privately.

Custody: `shares` wraps a data key (`datakeys`) for each pair of three shares, `printed` puts a
share on paper, `envelope` seals content in its place, `rotation` decides how a key is replaced
(pure); `hidden` holds secrets and `primitives` is all the cryptography they use.
"""
