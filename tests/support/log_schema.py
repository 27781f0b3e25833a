"""The event log's tables and functions as the reference shows them, read out of a real database."""

from tests.support.postgres import Server

TABLES = ("inbox", "log", "conflicts", "tiles", "checkpoints", "cosignatures", "log_state")
FUNCTIONS = (
    "append_events", "sequence_batch", "seal_batch", "add_checkpoint", "add_cosignature",
    "make_partitions", "first_id",
)  # fmt: skip
BEGIN = "<!-- schema: written by tests/support/log_schema.py -->"
END = "<!-- end of schema -->"

COLUMNS = """
SELECT format('| `%%s` | `%%s` | %%s | %%s |', c.relname, a.attname,
  format_type(atttypid, atttypmod),
  concat_ws(', ',
    CASE WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary
                      AND a.attnum = ANY (i.indkey)) THEN 'primary key' END,
    CASE WHEN attidentity <> '' THEN 'identity' END,
    CASE WHEN NOT attnotnull THEN 'may be null' END))
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = 'ledger'::regnamespace AND relname = ANY ('{%s}') AND attnum > 0
  AND NOT attisdropped
ORDER BY array_position('{%s}', relname::text), attnum
"""
EXECUTE = """
SELECT format('| `%%s(%%s)` | %%s |', proname, pg_get_function_identity_arguments(p.oid),
  (SELECT string_agg('`' || r.rolname || '`', ', ' ORDER BY r.rolname)
   FROM pg_roles r WHERE r.rolname LIKE 'fed\\_%%'
     AND has_function_privilege(r.oid, p.oid, 'EXECUTE')))
FROM pg_proc p WHERE pronamespace = 'ledger'::regnamespace AND proname = ANY ('{%s}')
ORDER BY array_position('{%s}', proname::text)
"""


def block(server: Server) -> str:
    """The tables between BEGIN and END of docs/reference/event-log.md."""
    names = ",".join(TABLES)
    columns = server.psql(COLUMNS % (names, names), "federation")
    names = ",".join(FUNCTIONS)
    functions = server.psql(EXECUTE % (names, names), "federation")
    return (
        f"{BEGIN}\n\n| table | column | type | |\n|---|---|---|---|\n{columns}\n\n"
        f"| function | may be called by |\n|---|---|\n{functions}\n\n{END}"
    )
