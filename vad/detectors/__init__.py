"""What learns from train frames: a member's settings, networks, and their training."""
