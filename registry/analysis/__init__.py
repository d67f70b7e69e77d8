"""Compare and explain runs."""
