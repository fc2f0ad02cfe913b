"""Discrete-event models of the protocol: ordering, votes and finality under faults and byzantine strategies.

Nothing on chain imports this. Seeded, no I/O, no clock. README of the package above, Simulation models.
"""
