"""Wavelength-native signalling. So far only the spectrum, which orders the bands of consensus."""
