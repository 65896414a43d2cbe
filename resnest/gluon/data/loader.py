"""Batches from records: threads decode and transform ahead of the one who asks.

Threads, not processes: Pillow reads, decodes and resamples outside Python's lock, so two threads keep two cores
busy; batches need no copy between processes, no shared memory that can run out, no fork beside MXNet's and
Horovod's threads, and nothing outlives a run that is killed.
"""
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from resnest.errors import InputError

from .images.transforms import decode

__all__ = ['Loader']


class Loader:
    """Iterates over ``(images uint8 (n, size, size, 3), labels int32 (n,))`` for the given batches of indices.

    Every random choice of a sample's transform is drawn from (seed, epoch, sample index): the pixels do
    not depend on the number of workers or ranks.

    Parameters
    ----------
    records : RecordSet
    transform : callable
        ``transform(image, rng)``, see :mod:`.images.transforms`.
    batches : sequence of int arrays
        Sample indices of each batch.
    classes : int
        Labels must be below it.
    workers : int
        Threads; 0 does the work in the caller.
    seed, epoch : int
    skip_bad : bool
        Put the next readable record in the place of one that cannot be read; ``skipped`` lists the
        messages.

    Raises InputError that names the record for a damaged image or a label out of range.
    """

    def __init__(self, records, transform, batches, classes, workers=2, seed=0, epoch=0, skip_bad=False):
        self.records = records
        self.transform = transform
        self.batches = batches
        self.classes = classes
        self.workers = workers
        self.seed = seed
        self.epoch = epoch
        self.skip_bad = skip_bad
        self.skipped = []

    def __len__(self):
        return len(self.batches)

    def sample(self, index):
        """One transformed image and its label."""
        index = int(index)
        for ahead in range(len(self.records)):
            try:
                return self._read((index + ahead) % len(self.records), index)
            except UnreadableRecord as error:
                if not self.skip_bad:
                    raise
                self.skipped.append(str(error))
        raise InputError(f'{self.records.where(index)}: no record of the whole set can be read')

    def _read(self, index, drawn_for):
        where = self.records.where(index)
        rng = np.random.default_rng((self.seed, self.epoch, drawn_for))
        try:
            data, label = self.records[index]
            pixels = self.transform(decode(data, where), rng)
        except InputError as error:
            raise UnreadableRecord(error) from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:    # Pillow decodes late
            raise UnreadableRecord(f'{where}: not a readable image ({error}); prepare the data again, '
                                   f'or use --skip-bad') from None
        if not 0 <= label < self.classes:
            raise InputError(f'{where}: label {label}, but there are {self.classes} classes; '
                             f'set --num-classes, or prepare the data again')
        return pixels, label

    def batch(self, indices):
        """The images and labels of a list of indices."""
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


class UnreadableRecord(InputError):
    """A record whose image cannot be read."""
