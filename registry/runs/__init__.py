"""A run from entry and data to metrics, pictures and a registered version."""
