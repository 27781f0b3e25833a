"""PostgreSQL, and the only SQL: keys, audit rows, the event log, and the schema they live in.

`connect` opens verified TLS connections; `keys` and `requests` are one table family each; `append`
writes the event log and `log` reads it; `event`, `identifiers`, `merkle`, `tiles`, `note` and
`checkpoint` are pure; `schema` decides about migrations and `migrate` runs them; `access` says who
may log in. Statements are in `queries.sql`, roles in `cluster.sql`.
"""
