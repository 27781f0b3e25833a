"""Prove that a gateway records and answers each request once, whatever is killed, full or cut off.

Clients ask both gateways, each with a journal on disk: the id of the request it is going to send,
and what it was told. `faults` break things, the ledger's `rounds.Stage` times them, and `decide`
compares the journals with the ledger by request id. `make game-day-gateway` plays several rounds of
each fault, `make test` one.
"""
