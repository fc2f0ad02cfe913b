"""Transport: bytes between peers. Knows no block and no transaction."""
