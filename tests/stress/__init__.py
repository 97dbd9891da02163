"""Many threads, a few seconds; minutes under `-m long`."""
