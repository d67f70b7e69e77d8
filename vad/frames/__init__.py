"""Decoded frames: their store, and a look at all of them."""
