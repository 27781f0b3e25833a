"""The witness: watches that the ledger's log only grows, and says so with a signature.

`door` says whose requests are judged, `nonces` which were taken already. `decide` judges one
request (pure), `state` is what it must never forget, `shell` keeps it on disk,
`main` serves C2SP tlog-witness.
"""
