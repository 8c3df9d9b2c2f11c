"""A first app."""
