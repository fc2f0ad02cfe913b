"""Where the ledger's bytes are kept: one ordered key-value store with atomic batches."""
