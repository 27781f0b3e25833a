"""The HTTP front door: keys checked, bytes relayed to an engine, every request in the audit.

`settings` what the file may say; `request` and `usage` what must be parsed (pure); `answers` what
errors look like (pure); `auth` who may; `audit` the record; `upstreams` and `transport` the
engines; `relay` one request from beginning to end; `app` the paths; `server` sockets,
signals, drain.
"""
