"""The sequencer: numbers waiting events, grows the log's tree, and signs its head each second.

It runs on every data node; one is active, the others wait for its lock. `decide` says what to do
next (pure), `shell` does it, `head` checks and signs heads, `witnesses` offers them to witnesses,
`main` wires and serves the metrics.
"""
