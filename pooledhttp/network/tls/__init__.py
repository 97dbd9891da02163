"""TLS over a stream.

verification   chooses the context of a handshake, and checks the certificate after it
contexts       makes contexts, and shares those with equal settings
sessions       keeps TLS sessions, which shorten the next handshake
handshake      does the handshake on a stream, and makes the error if it fails
stream         TLS on a socket
nested         TLS inside another stream, for an https origin behind an https proxy
"""
