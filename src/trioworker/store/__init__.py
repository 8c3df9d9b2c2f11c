"""Where jobs live: one protocol, and its implementations."""
