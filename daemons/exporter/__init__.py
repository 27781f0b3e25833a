"""The federation's own exporter: what node_exporter cannot know about a node.

`decide` turns a snapshot into metric values (pure), `shell` takes the snapshot, `main` serves it.
"""
