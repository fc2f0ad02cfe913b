"""What votes decide and everything else reads: parameters, registrars, sector tokens, pauses."""
