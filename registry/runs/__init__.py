"""A run from entry and data to figures, pictures and a registered version."""
