"""Ordering and admission of blocks: GHOSTDAG over spectral lanes. Pure and synchronous."""
