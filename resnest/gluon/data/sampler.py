"""Which samples make which batch: a function of (seed, epoch) alone, not of the number of ranks."""
import numpy as np

from resnest.errors import InputError

__all__ = ['training_batches', 'evaluation_batches']


def training_batches(count, batch_size, rank=0, ranks=1, seed=0, epoch=0, steps=None):
    """This rank's batches of one epoch: an int array ``(steps, batch_size)`` of sample indices.

    All ranks together take ``batch_size * ranks`` consecutive samples of the epoch's permutation a step, so
    a step sees the same samples on any number of ranks. Every rank takes the same number of steps; the
    remainder that fills no batch is left out (another one each epoch).

    Raises InputError where the samples do not fill one batch.
    """
    total = batch_size * ranks
    if count < total:
        raise InputError(f'{count} training records do not fill one batch of {batch_size} on each of {ranks} '
                         f'rank(s); use --batch-size {count // ranks} or less' if count >= ranks else
                         f'{ranks} ranks, but only {count} training records; start fewer ranks')
    order = np.random.default_rng((seed, epoch)).permutation(count)
    batches = order[:count // total * total].reshape(-1, ranks, batch_size)[:, rank]
    return batches if steps is None else batches[:steps]


def evaluation_batches(count, batch_size, rank=0, ranks=1):
    """This rank's batches of its share of the samples: over all ranks each sample comes exactly once.

    A list of int arrays, the last one shorter where there is a remainder; empty for a rank without samples.
    """
    share = np.arange(rank, count, ranks)
    return [share[start:start + batch_size] for start in range(0, len(share), batch_size)]
