"""Key decay: hourly, whose tier changed, who is to be warned, what has ended.

`decide` judges one key (pure), `shell` does so in the ledger and tells it, `webhook` tells people,
`main` wires. One run, then it ends; two at once share the work.
"""
