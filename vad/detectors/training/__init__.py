"""The training loop, one step of it, losses, optimizers, and training in another process."""
