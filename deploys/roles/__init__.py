"""One `@deploy` a role: what a node with that role has."""
