"""What runs tell when they are put side by side."""
