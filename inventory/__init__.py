"""Who is in the federation: nodes, roles, addresses, limits and who may talk to whom.

The lowest layer: it imports nothing of ours. `model` is the typed inventory, `load` reads it from
TOML, `flows` derives the network allow-lists, `home` says where an operator keeps their state.
"""
