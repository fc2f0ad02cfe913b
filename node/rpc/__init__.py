"""JSON-RPC 2.0 over HTTP on loopback, with health endpoints; and its client."""
