"""Which frames and labels a command works on."""
