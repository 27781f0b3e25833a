"""The shipper: moves the spool to the ledger, in a process of its own beside the gateway's.

`ship` one batch after another; `child` how the gateway keeps the process running; `__main__` the
process.
"""
