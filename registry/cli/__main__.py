"""`python -m registry.cli` is the command `vad`."""

from registry.cli import main

main(prog_name="vad")
