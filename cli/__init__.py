"""The `nexus` command: parse, call, print."""
