"""TLS over a stream.

verification   which context a route is dialled with, and what is checked after the handshake
contexts       contexts, found again by what they were made from
sessions       remembered TLS sessions, which shorten the next handshake
handshake      makes the handshake on a stream, and explains why it failed
nested         TLS inside another stream, for an https origin behind an https proxy
"""
