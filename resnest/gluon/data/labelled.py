"""Batches of images with a label each, from records."""
import numpy as np

from .images.decoding import opened
from .loader import TRAINING_REMEDY, SampleLoader, TransformedRecords, WrongRecord

__all__ = ['Loader']


class Loader(SampleLoader):
    """Iterates over ``(images uint8 (n, size, size, 3), labels int32 (n,))`` for the given batches of indices.

    Every random choice of a sample's transform is drawn from (seed, epoch, sample index): the pixels do
    not depend on the number of workers or ranks. What holds of any loader says :class:`.loader.SampleLoader`.

    Parameters
    ----------
    records : RecordSet or FolderSet
        What has ``len``, ``records[index] -> (encoded image, label)``, ``where(index)`` for messages, and ``decoding``,
        the rule by which :mod:`.images.decoding` reads its images.
    transform : callable
        ``transform(picture, rng)``, see :mod:`.images.transforms`; ``rng`` is None for one whose ``draws`` is False.
    batches : sequence of int arrays
        Sample indices of each batch.
    classes : int
        Labels must be below it.
    workers : int or (int or None, str or None)
        As :class:`.loader.SampleLoader` has it.
    seed, epoch : int
    skip_bad, remedy
        What is done about records that cannot be read, see :class:`.loader.SampleLoader`.

    Raises InputError that names the record for a damaged image, a label out of range, and where memory runs out; with
    ``skip_bad`` True, the first of 100 records in a row that cannot be read.
    """

    def __init__(self, records, transform, batches, classes, workers=2, seed=0, epoch=0, skip_bad=False,
                 remedy=TRAINING_REMEDY):
        super().__init__(_Samples(records, transform, classes, seed, epoch), batches, _stacked, workers, skip_bad,
                         remedy)


class _Samples(TransformedRecords):
    """``(pixels, label)`` of each record."""

    def __init__(self, records, transform, classes, seed, epoch):
        super().__init__(records, transform, seed, epoch)
        self._classes = classes

    def make(self, record, index):
        data, label = self.records[record]
        with opened(data, record, self.records.decoding) as picture:
            pixels = self.transform(picture, self.generator(index))
        if not 0 <= label < self._classes:
            raise WrongRecord(f'{self.where(record)}: label {label}, but there are {self._classes} classes; '
                              f'set --num-classes, or prepare the data again')
        return pixels, label


def _stacked(samples):
    images, labels = zip(*samples)
    return np.stack(images), np.asarray(labels, dtype=np.int32)
