"""Options that several commands share."""

import os
from pathlib import Path

import click


def home() -> Path:
    """Where memory maps, the demo street and half-done work lie."""
    return Path(os.environ.get("VAD_HOME") or ".vad")


data_option = click.option(
    "--data", metavar="FOLDER", help="Folder that contains training_videos/ and testing_videos/."
)
labels_option = click.option("--labels", metavar="PATH", help="CSV (Id,Label), folder of N_label.mat, or `none`.")
set_option = click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value, as in train.epochs=3."
)
