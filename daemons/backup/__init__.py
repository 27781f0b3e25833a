"""The jobs of a backup repository: make a backup, check the archive, say what there is.

`decide` chooses and judges (pure), `shell` runs pgBackRest and writes figures down, `main` wires.
Each job runs once and ends; systemd's timers start them.
"""
