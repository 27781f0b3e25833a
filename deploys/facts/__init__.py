"""Our pyinfra facts: what a node looks like, one round trip each. They only parse."""
