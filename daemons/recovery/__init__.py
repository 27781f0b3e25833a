"""Put a cluster back from a repository: choose the backup, restore, replay, promote, look at it.

`decide` chooses (pure), `cluster` restores and runs the server by itself, `main` wires it for a
data node. The restore test does the same beside everything else.
"""
