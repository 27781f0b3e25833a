#!/bin/sh
# Managed by the federation operator. Starts Homebrew's node exporter wherever Homebrew is.
for prefix in /opt/homebrew /usr/local; do
    program=$prefix/opt/node_exporter/bin/node_exporter
    [ -x "$program" ] && exec "$program" "$@"
done
echo "node_exporter is not installed by Homebrew" >&2
exit 1
