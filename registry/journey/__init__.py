"""The reference's tables and claims, compared with our measurements."""
