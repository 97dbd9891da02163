"""Servers that misbehave on purpose, on loopback sockets, against a real Session."""
