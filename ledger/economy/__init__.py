"""The economic loop: messages, reserve, sectors, floor, debt backing, monetary policy."""
