"""Pictures are coarse where this is imported: in the process from which tests fork others. Full ones are half of a tiny run's time."""

from matplotlib.figure import Figure

from registry.pictures import style

style.Figure = lambda figsize, **_: Figure(figsize=figsize, dpi=20)
