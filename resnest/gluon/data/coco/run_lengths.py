"""COCO's run lengths: how many pixels lie outside, inside, outside … of a mask, column by column
(https://cocodataset.org/#format-data). Damaged ones are refused here, before anything native sees them."""
import numpy as np

from resnest.errors import InputError

__all__ = ['compressed', 'counts_in', 'counts_of', 'mask_of']

LONGEST_RUN = 1 << 32     # pixels
MOST_DIGITS = 12        # of a compressed number: 60 bits


def counts_of(value):
    """The run lengths, int64, of what ``counts`` is in a file: a list of whole numbers, or a text that compresses one.

    Raises InputError where it is neither, or where a number is below zero or too large.
    """
    try:
        counts = _uncompressed(value) if isinstance(value, str) else np.array(value)
        if counts.ndim != 1 or counts.size and counts.dtype.kind not in 'iu' or isinstance(value, dict):
            raise ValueError('they are no list of whole numbers')
        counts = counts.astype(np.int64)
        for wrong in counts[(counts < 0) | (counts > LONGEST_RUN)][:1]:
            raise ValueError(f'a run of {wrong} pixels')
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f'run lengths that cannot be read: {error}') from None
    return counts


def _uncompressed(text):
    """Six bits a character from ``'0'`` on: five of a number, the lowest first, and whether more of it follow; the last
    one's highest bit is the sign. From the fourth number on, each is the difference from the one before the last."""
    digits = np.frombuffer(text.encode('ascii'), np.uint8).astype(np.int64) - 48
    if not digits.size:
        return digits
    if digits.min() < 0 or digits.max() > 63:
        raise ValueError('a character that none has')
    ends = np.flatnonzero(digits & 32 == 0) + 1
    if not ends.size or ends[-1] != digits.size:
        raise ValueError('the last number is cut off')
    lengths = np.diff(ends, prepend=0)
    if lengths.max() > MOST_DIGITS:
        raise ValueError('a number of more than 60 bits')
    starts = ends - lengths
    counts = np.add.reduceat((digits & 31) << 5 * (np.arange(digits.size) - np.repeat(starts, lengths)), starts)
    counts -= np.where(digits[ends - 1] & 16, np.int64(1) << 5 * lengths, 0)
    for first in (1, 2):
        counts[first::2] = np.cumsum(counts[first::2])
    return counts


def compressed(counts):
    """The text that :func:`counts_of` takes for ``counts``, whole numbers below 2 ** 58."""
    values = np.array(counts, np.int64)
    values[3:] -= values[1:-2].copy()
    place = np.arange(MOST_DIGITS)
    digits = values[:, None] >> 5 * place & 31
    ended = values[:, None] >> np.minimum(5 * place + 5, 63) == -(digits >> 4)
    last = ended.argmax(1)[:, None]
    characters = 48 + digits + 32 * (place < last)
    return characters[place <= last].astype(np.uint8).tobytes().decode()


def counts_in(mask):
    """The run lengths, int64, of a mask ``(H, W)`` of bool that is not empty: the inverse of :func:`mask_of`."""
    flat = mask.T.reshape(-1)
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    return np.diff(np.concatenate([[0] * (1 + bool(flat[0])), changes, [flat.size]]))


def mask_of(counts, height, width):
    """The mask, bool ``(height, width)``, of run lengths; raises InputError where these are not as many pixels."""
    if counts.sum() != height * width:
        raise InputError(f'run lengths of {counts.sum()} pixels, but there are {height} x {width}')
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T
