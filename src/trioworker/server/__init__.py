"""The HTTP server: the APIs for clients and for agents."""
