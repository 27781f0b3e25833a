-- Roles and database of the federation, made by the superuser over the local socket:
--   psql --no-psqlrc -v ON_ERROR_STOP=1 -d postgres -f cluster.sql
-- Run again, it changes nothing. Tables and their privileges are the migrations'.
--   fedledger     owns the schema and runs migrations; local socket only (peer)
--   fed_gateway   reads keys, writes audit rows; client certificate of a gateway node
--   fed_operator  issues and revokes keys, appends events, reads all; the operator's certificate
--   fed_sequencer numbers events and signs the log's head; client certificate of a data node
--   fed_backup    tells the log of backups and restore tests; certificate of a repository's node
--   fed_keys      makes of keys' use what tier they have; client certificate of a data node
--   fed_guardian  tells the log of every half it gives out; certificate of the operator's node
--   fed_metrics   reads statistics; local socket only (peer)
--   fed_replication  streams the WAL to the other data nodes; client certificate of a data node
--   fed_rewind       reads files for pg_rewind, and nothing else; client certificate of a data node
--
-- Nothing here is lost with a primary that dies at once: it would be made again. So it need not wait
-- for standbys, which do not exist yet when the first roles are made.
SET synchronous_commit = local;

SELECT format('CREATE ROLE %I LOGIN NOINHERIT NOCREATEDB NOCREATEROLE NOSUPERUSER NOREPLICATION', wanted)
FROM unnest(ARRAY[
    'fedledger', 'fed_gateway', 'fed_operator', 'fed_sequencer', 'fed_rewind', 'fed_backup',
    'fed_keys', 'fed_guardian'
]) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted)
\gexec

SELECT 'CREATE ROLE fed_metrics LOGIN INHERIT NOCREATEDB NOCREATEROLE NOSUPERUSER NOREPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fed_metrics')
\gexec

SELECT 'CREATE ROLE fed_replication LOGIN NOINHERIT NOCREATEDB NOCREATEROLE NOSUPERUSER REPLICATION'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fed_replication')
\gexec

-- In the database `postgres`, where pg_rewind connects to.
SELECT format('GRANT EXECUTE ON FUNCTION pg_catalog.%s TO fed_rewind', wanted)
FROM unnest(ARRAY[
    'pg_ls_dir(text, boolean, boolean)',
    'pg_stat_file(text, boolean)',
    'pg_read_binary_file(text)',
    'pg_read_binary_file(text, bigint, bigint, boolean)'
]) AS wanted
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fed_rewind')
   OR NOT has_function_privilege(
       (SELECT oid FROM pg_roles WHERE rolname = 'fed_rewind'), 'pg_catalog.' || wanted, 'EXECUTE'
   )
\gexec

SELECT 'GRANT pg_monitor TO fed_metrics'
WHERE NOT pg_has_role('fed_metrics', 'pg_monitor', 'MEMBER')
\gexec

-- Defaults that keep a stuck client from holding locks; a client may set its own.
SELECT format('ALTER ROLE %I SET %s', wanted.role, wanted.setting)
FROM (VALUES
    ('fed_gateway', 'statement_timeout = ''5s'''),
    ('fed_gateway', 'idle_in_transaction_session_timeout = ''10s'''),
    ('fed_operator', 'statement_timeout = ''30s'''),
    ('fed_operator', 'idle_in_transaction_session_timeout = ''60s'''),
    ('fed_sequencer', 'statement_timeout = ''30s'''),
    ('fed_sequencer', 'idle_in_transaction_session_timeout = ''10s'''),
    ('fed_backup', 'statement_timeout = ''30s'''),
    ('fed_backup', 'idle_in_transaction_session_timeout = ''10s'''),
    ('fed_keys', 'statement_timeout = ''30s'''),
    ('fed_keys', 'idle_in_transaction_session_timeout = ''10s'''),
    ('fed_guardian', 'statement_timeout = ''5s'''),
    ('fed_guardian', 'idle_in_transaction_session_timeout = ''10s'''),
    ('fed_metrics', 'statement_timeout = ''5s''')
) AS wanted (role, setting)
WHERE NOT EXISTS (
    SELECT FROM pg_roles
    WHERE rolname = wanted.role
      AND split_part(wanted.setting, ' ', 1) IN (
          SELECT split_part(present, '=', 1) FROM unnest(rolconfig) AS present
      )
)
\gexec

SELECT 'CREATE DATABASE federation OWNER fedledger TEMPLATE template0 ENCODING ''UTF8'' LOCALE ''C.UTF-8'''
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'federation')
\gexec

\connect federation
SET synchronous_commit = local;

-- Nobody gets in, makes temporary tables or uses the public schema just for having a role.
SELECT 'REVOKE ALL ON DATABASE federation FROM PUBLIC'
WHERE has_database_privilege('public', 'federation', 'CONNECT')
   OR has_database_privilege('public', 'federation', 'TEMPORARY')
\gexec

SELECT format('GRANT CONNECT ON DATABASE federation TO %I', wanted)
FROM unnest(ARRAY[
    'fed_gateway', 'fed_operator', 'fed_metrics', 'fed_sequencer', 'fed_backup', 'fed_keys',
    'fed_guardian'
]) AS wanted
WHERE NOT has_database_privilege(wanted, 'federation', 'CONNECT')
\gexec

SELECT 'REVOKE ALL ON SCHEMA public FROM PUBLIC'
WHERE has_schema_privilege('public', 'public', 'USAGE')
   OR has_schema_privilege('public', 'public', 'CREATE')
\gexec

-- With its objects' names in the log of schema changes, where the server has loaded pgaudit.
SELECT 'CREATE EXTENSION pgaudit'
WHERE current_setting('shared_preload_libraries') LIKE '%pgaudit%'
  AND NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'pgaudit')
\gexec

-- Which of the operators a session is: the common name of its certificate, for `operator_here`.
SELECT 'CREATE EXTENSION sslinfo SCHEMA public'
WHERE NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'sslinfo')
\gexec

SELECT 'GRANT USAGE ON SCHEMA public TO fedledger'
WHERE NOT has_schema_privilege('fedledger', 'public', 'USAGE')
\gexec
