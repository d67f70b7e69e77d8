"""Any folders of train and test videos: the competition's, CUHK Avenue's, your own."""

from vad.data.datasets.base import Layout, Place


def detect(place: Place) -> Layout:
    """Take every folder with two halves. Raises InputError for any other."""
    train, test = place.halves
    return place.found(f"{train.name}/ and {test.name}/ of clips or movies")
