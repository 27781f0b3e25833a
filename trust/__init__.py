"""What is believed and why: the private authority, certificates and API keys.

`authority` keeps a folder and signs, `certificate` decides about renewal (pure), `signing` builds
X.509, `apikeys` makes and recognises keys (pure but for `generate`), `files` writes privately.
"""
