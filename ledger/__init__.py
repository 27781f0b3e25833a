"""PostgreSQL, and the only SQL: keys, audit rows, events, and the schema they live in.

`connect` opens verified TLS connections; `keys`, `requests` and `events` are one table family each;
`event` and `identifiers` are pure; `schema` decides about migrations and `migrate` runs them;
`access` says who may log in. Statements are in `queries.sql`, roles in `cluster.sql`.
"""
