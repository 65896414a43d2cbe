"""Batches of people."""
import numpy as np

from resnest.gluon.data import SampleLoader, TransformedRecords
from resnest.gluon.data.loader import TRAINING_REMEDY

__all__ = ['CropLoader']


class CropLoader(SampleLoader):
    """Iterates over what a transform makes of people, each of its arrays stacked: of :class:`.transforms.Training`
    ``(crops uint8 (N, height, width, 3), maps (N, J, h, w), weights (N, J), numbers (N,))``, and of
    :class:`.transforms.Plain` ``(crops, maps (N, 2, 3), numbers)``. The numbers are those of the people.

    Every random choice of a sample is drawn from (seed, epoch, sample index): the pixels do not depend on the number of
    workers or ranks. What holds of any loader says :class:`resnest.gluon.data.SampleLoader`, and also what ``batches``,
    ``workers``, ``skip_bad`` and ``remedy`` are.

    Raises InputError that names the file for a damaged picture, for one of another size than the annotations tell, and
    where memory runs out.
    """

    def __init__(self, records, transform, batches, workers=2, seed=0, epoch=0, skip_bad=False,
                 remedy=TRAINING_REMEDY):
        super().__init__(_Samples(records, transform, seed, epoch), batches, _stacked, workers, skip_bad, remedy)


class _Samples(TransformedRecords):
    """What a transform makes of each record, and the record's number."""

    def make(self, record, index):
        return (*self.transform(*self.records.read(record), self.generator(index)), record)


def _stacked(samples):
    return tuple(np.stack(each) for each in zip(*samples))
