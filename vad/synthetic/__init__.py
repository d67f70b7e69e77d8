"""Footage that is made: the demo street, the competition's corruption, painted anomalies."""
