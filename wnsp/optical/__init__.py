"""The optical link: bytes to a picture of spectrum colours, and back from a picture of that picture."""
