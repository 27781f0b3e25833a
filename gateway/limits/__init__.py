"""Limits of keys and tenants: `meters` counts, `decide` decides (both pure), `shell` asks and acts.

`estimate` bounds what a request may cost before it is asked, `headers` tells clients what is left.
"""
