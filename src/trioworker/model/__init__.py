"""The pure core: data and decisions. No clock, no randomness, no I/O; they come as arguments."""
