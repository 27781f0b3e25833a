"""Our pyinfra operations: one command (or none) on the node each, with what it would change."""
