"""Repairs: undo what capture or a competition did to test frames. Each has its own file and is registered by name.

To add one: write a class with `fit` and `apply` (see `Repair`) and a function below `@REPAIRS.register("name")` that returns it.
"""

from vad.repair import noise  # noqa: F401
from vad.repair.base import REPAIRS, SKETCH, FittedRepair, Repair, fit, fitted, from_arrays, sketches_of, to_arrays
from vad.repair.flips import Flips

__all__ = [
    "REPAIRS", "SKETCH", "FittedRepair", "Flips", "Repair", "fit", "fitted", "from_arrays", "sketches_of", "to_arrays",
]  # fmt: skip
