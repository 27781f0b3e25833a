"""Prove that the ledger loses nothing while its machines are killed, cut off and filled up.

Several client processes append through the library, each with a journal on disk: what it is going
to send (before it sends), and what it was told (after). A watcher writes to every data node by
itself. `faults` break things, `rounds` times how long writing was interrupted, and `decide`
compares the journals with the log. `make game-day` plays ten rounds of each fault, `make test` one.
"""
