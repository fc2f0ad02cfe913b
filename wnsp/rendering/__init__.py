"""Spectra and frames as pictures. For eyes only: floats are allowed here, and nothing that decides anything
imports it."""
