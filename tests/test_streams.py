"""Streams of random numbers: no two of them coincide, whatever they are asked for."""
import itertools

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon import streams
from resnest.gluon.data import Loader, RecordSet, local_batches, training_batches
from resnest.gluon.streams import generator

STREAMS = {name: getattr(streams, name) for name in streams.__all__ if name.isupper()}


def test_each_stream_has_a_number_of_its_own():
    assert len(STREAMS) == len({*STREAMS.values()}) == 11
    assert all(0 < number < 1 << 32 for number in STREAMS.values())


def test_no_two_streams_coincide():
    """Of any seed and any numbers, of which NumPy's own seeding takes many for the same: (1,) and (1, 0), say."""
    values = (0, 1, 2, 3, 4, 5, 1 << 32, (1 << 32) + 1)
    asked = [(stream, seed, *numbers) for stream in STREAMS.values() for seed in values
             for length in range(4) for numbers in itertools.product(values[:3] + values[-2:], repeat=length)]
    found = {generator(*words).integers(1 << 63, size=2).tobytes() for words in asked}
    assert len(found) == len(asked) > 5000


def test_the_same_numbers_each_time_and_of_any_kind():
    wanted = generator(streams.ORDER, 3, 4).random(5)
    np.testing.assert_array_equal(generator(streams.ORDER, np.int64(3), np.int32(4)).random(5), wanted)


def test_the_order_of_an_epoch_is_not_the_augmentation_of_a_sample(squares):
    """Nor is it that of a rank's own samples, or that of preparing: each permutation of the same length is another."""
    drawn = {}

    def transform(image, rng):
        drawn[epoch, len(drawn)] = rng.permutation(96)
        return np.zeros((1, 1, 3), dtype=np.uint8)

    orders = [generator(streams.PREPARING, 1, split).permutation(96) for split in range(3)]
    with RecordSet(squares, 'train') as records:
        for epoch in range(3):
            list(Loader(records, transform, [range(96)], 4, 0, seed=1, epoch=epoch))
            orders += [training_batches(96, 96, seed=1, epoch=epoch)[0],
                       *(local_batches(96, 96, 1, rank, seed=1, epoch=epoch)[0] for rank in range(3))]
    assert len(drawn) == 3 * 96
    assert len({order.tobytes() for order in [*orders, *drawn.values()]}) == 3 * 96 + 3 + 3 * 4


@pytest.mark.parametrize('seed', [-1, 1 << 64, 10 ** 30])
def test_a_seed_beyond(seed):
    with pytest.raises(InputError, match=f'got {seed}'):
        generator(streams.ORDER, seed)
