"""Feeds: catalogue -> follow (fetch -> inflate -> formats -> normalise) -> store, with a health ledger for each."""
