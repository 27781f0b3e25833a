"""The restore test: a backup counts when it has been restored and its ledger's root matched.

`decide` judges and says it (pure), `shell` restores and asks, `main` wires. One run, then it ends.
"""
