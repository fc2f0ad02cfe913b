"""Tokens that users create: fixed supply, fixed decimals, conserved one by one."""
