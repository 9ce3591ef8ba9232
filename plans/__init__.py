"""What should happen, and what did: pure, no I/O, no clock."""
