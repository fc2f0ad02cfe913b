"""Proposals, votes and what they bring about. Specification: README.md beside this."""
