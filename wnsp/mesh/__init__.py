"""A delay-tolerant mesh without I/O: bytes and the time go in, events and datagrams to send come out."""
