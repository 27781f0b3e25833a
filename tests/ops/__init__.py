"""Golden tests of operations and roles: what they do to a simulated node."""
