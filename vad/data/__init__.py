"""A data set on disk: its layout, its frames' numbers, labels, masks and tables."""
