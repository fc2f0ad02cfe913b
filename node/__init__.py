"""The daemon: the only package that composes the others, logs and counts."""
