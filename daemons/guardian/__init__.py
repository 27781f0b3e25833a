"""The guardian: keeps one of three shares, and gives a half of it away for one data key at a time.

`decide` says whether (pure), `shell` writes every release down before it happens, `main` serves it.
"""
