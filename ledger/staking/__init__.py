"""Validators and their stakes: records, kinds of transactions, rewards, slashing, and the set of an epoch."""
