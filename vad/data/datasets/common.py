"""The form in which most repositories of the field keep their data: `{training,testing}/frames/01/000.jpg`."""

from vad.data.datasets.base import Layout, Place


def detect(place: Place) -> Layout | None:
    """Look for `frames/` or `videos/` in both halves. Labels such as `ped2.mat` lie next to these; any other form works too."""
    train, test = place.halves
    inner = place.videos
    if train in inner or test in inner:
        return None
    return place.found(
        f"the field's common form, {train.name}/{inner[0].name}/NAME and {test.name}/{inner[1].name}/NAME"
    )
