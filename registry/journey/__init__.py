"""The reference's tables and claims beside what was measured here."""
