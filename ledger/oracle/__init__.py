"""What the chain knows of the world: values that validators report. Specification: README.md."""
