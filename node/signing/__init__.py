"""Signing: what may be signed with a validator's keys, where the keys are, and who else uses them. See ../README.md."""
