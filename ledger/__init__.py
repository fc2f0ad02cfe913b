"""The ledger: a pure, deterministic state machine over integer amounts."""
