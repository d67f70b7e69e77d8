"""Frames: from folders on disk to memory maps of bytes, and the streets and corruptions made here."""
