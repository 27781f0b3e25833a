"""Key decay: hourly, whose tier changed, who is to be warned, what has ended.

`decide` judges one key (pure), `shell` does so in the ledger and tells it, `message` says what
people are told and when again (pure), `outbox` sends what waits, `webhook` posts it, `main` wires.
One run, then it ends; two at once share the work.
"""
