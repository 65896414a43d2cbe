"""Which samples make which batch: a function of (seed, epoch) alone, not of the number of ranks."""
import numpy as np

from resnest.errors import InputError
from resnest.gluon.streams import ORDER, generator

__all__ = ['evaluation_batches', 'local_batches', 'training_batches']


UNIT = 16       # samples of one group that stay together


def training_batches(count, batch_size, rank=0, ranks=1, seed=0, epoch=0, start=0, groups=None):
    """This rank's batches of one epoch from step ``start`` on: an int array ``(steps, batch_size)`` of sample indices.

    All ranks together take ``batch_size * ranks`` consecutive samples of the epoch's permutation a step, so
    a step sees the same samples on any number of ranks. Every rank takes the same number of steps; the
    remainder that fills no batch is left out (another one each epoch).

    With ``groups``, a whole number for each sample, 16 samples that follow each other are of one group, but for one
    such lot of each epoch and group, and the last samples. That is so before they are dealt to the ranks, and so it
    does not depend on them: a batch has one group where its size divides 16.

    Raises InputError where the samples do not fill one batch.
    """
    total = batch_size * ranks
    if count < total:
        shared = f' on each of {ranks} ranks' if ranks > 1 else ''
        raise InputError(f'{count} training records do not fill one batch of {batch_size}{shared}; use --batch-size '
                         f'{count // ranks} or less' if count >= ranks else
                         f'{ranks} ranks, but only {count} training records; start fewer ranks')
    rng = generator(ORDER, seed, epoch)
    order = rng.permutation(count)
    if groups is not None:
        order = _together(order, groups, rng)
    batches = order[:count // total * total].reshape(-1, ranks, batch_size)[:, rank]
    return batches[start:]


def _together(order, groups, rng):
    """An order in which samples of one group follow each other in lots of 16; those that fill no lot come last."""
    filled = len(order) // UNIT * UNIT
    first, rest = order[:filled], order[filled:]
    lots = first[np.argsort(groups[first], kind='stable')].reshape(-1, UNIT)
    return np.concatenate([rng.permutation(lots).ravel(), rest])


def local_batches(count, batch_size, steps, rank, seed=0, epoch=0, start=0):
    """Batches of a rank that reads samples of its own, which the others do not have (``--sharding local``).

    The order depends on (seed, epoch, rank). Every rank takes ``steps`` steps, those of the rank with the least
    data (``count // batch_size``); the rest of a larger part is left out, another one each epoch.

    Raises InputError where the samples do not fill ``steps`` batches.
    """
    if steps < 1 or count < steps * batch_size:
        raise InputError(f'rank {rank} has {count} training records of its own, fewer than {max(1, steps)} batches of '
                         f'{batch_size}; use a smaller --batch-size or spread the shards evenly')
    order = generator(ORDER, seed, epoch, rank).permutation(count)
    return order[:steps * batch_size].reshape(steps, batch_size)[start:]


def evaluation_batches(count, batch_size, rank=0, ranks=1):
    """This rank's batches of its share of the samples: over all ranks each sample comes exactly once.

    A list of int arrays, the last one shorter where there is a remainder; empty for a rank without samples.
    """
    share = np.arange(rank, count, ranks)
    return [share[start:start + batch_size] for start in range(0, len(share), batch_size)]
