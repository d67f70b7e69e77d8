"""What an experiment says: YAML entries, read strictly, resolved into a plan."""
