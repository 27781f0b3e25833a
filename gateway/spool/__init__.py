"""The local, durable record of requests: written here first, moved to the ledger afterwards.

`record` what is written, as the ledger's own events (pure); `frame` how it lies on disk (pure);
`segment` the files; `recovery` what a run that ended left behind; `room` how much may still be
promised (pure); `writer` group commit; `reader` what is to be shipped; `audit` the gateway's seam.

A folder holds numbered segments of one fixed size. A segment begins with a frame that says where
the segment before it ends; each further frame is what one commit made durable. `mark` tells the
shipper how far commits have come, `shipped.json` tells the next shipper how far the last one came.
"""
