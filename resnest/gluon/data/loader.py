"""Batches from records: threads decode and transform ahead of the one who asks."""
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from resnest.errors import InputError

from .transforms import decode

__all__ = ['Loader']


class Loader:
    """Iterates over ``(images uint8 (n, size, size, 3), labels int32 (n,))`` for the given batches of indices.

    Every random choice of a sample's transform is drawn from (seed, epoch, sample index): the pixels do
    not depend on the number of workers or ranks. Pillow decodes and resizes outside Python's lock, so
    threads run side by side.

    Parameters
    ----------
    records : RecordSet
    transform : callable
        ``transform(image, rng)``, see :mod:`.transforms`.
    batches : sequence of int arrays
        Sample indices of each batch.
    classes : int
        Labels must be below it.
    workers : int
        Threads; 0 does the work in the caller.
    seed, epoch : int

    Raises InputError that names the record for a damaged image or a label out of range.
    """

    def __init__(self, records, transform, batches, classes, workers=2, seed=0, epoch=0):
        self.records = records
        self.transform = transform
        self.batches = batches
        self.classes = classes
        self.workers = workers
        self.seed = seed
        self.epoch = epoch

    def __len__(self):
        return len(self.batches)

    def sample(self, index):
        """One transformed image and its label."""
        data, label = self.records[index]
        if not 0 <= label < self.classes:
            raise InputError(f'{self.records.where(index)}: label {label}, but there are {self.classes} classes; '
                             f'set --num-classes, or prepare the data again')
        rng = np.random.default_rng((self.seed, self.epoch, int(index)))
        return self.transform(decode(data, self.records.where(index)), rng), label

    def batch(self, indices):
        images, labels = zip(*map(self.sample, indices))
        return np.stack(images), np.asarray(labels, dtype=np.int32)

    def __iter__(self):
        if not self.workers:
            yield from map(self.batch, self.batches)
            return
        with ThreadPoolExecutor(self.workers) as pool:
            ahead = deque()
            try:
                for indices in self.batches:
                    ahead.append(pool.submit(self.batch, indices))
                    if len(ahead) > 2 * self.workers:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for future in ahead:
                    future.cancel()
