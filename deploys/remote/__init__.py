"""Python that runs on nodes, one file a script: standard library only, Python 3.9 and later.

Each file defines `main(argument)`, which takes and returns JSON values. `deploys.script` sends a
file's text to a node; nothing here is imported by operator code except in tests.
"""
