"""Cases in the order the data takes: match, enrich, recheck, ladder (pure), with the ledger beside them."""
