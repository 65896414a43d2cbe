"""The pipelines that ``benchmark.py data`` times, and its table."""
import itertools

import pytest

from resnest.errors import InputError
from resnest.gluon.speed.pipelines import (
    dataloader_batches,
    format_data,
    measure_data,
    our_batches,
    pillow_batches,
    record_iter_batches,
)

from ..conftest import assert_refused, script_here


@pytest.mark.parametrize('batches', [our_batches, dataloader_batches, record_iter_batches, pillow_batches])
@pytest.mark.parametrize('augment', ['standard', 'autoaugment', 'none'])
def test_every_contender_gives_whole_batches(squares, batches, augment):
    if augment == 'autoaugment' and batches is record_iter_batches or augment != 'none' and batches is pillow_batches:
        return      # it cannot
    settings = {'source': str(squares / 'train-00000-of-00003.rec'), 'size': 12, 'augment': augment, 'batch_size': 5,
                'workers': int(batches is not dataloader_batches), 'implementation': 'ours'}
    assert list(itertools.islice(batches(settings), 9)) == [5] * 9      # over the end of an epoch


def row(implementation, workers, *rates, augment='none'):
    return {'what': 'evaluation' if augment == 'none' else 'training', 'implementation': implementation,
            'augment': augment, 'workers': workers, 'images_per_second': rates[1], 'images_per_second_rounds': rates}


def test_the_table_compares_round_by_round():
    rows = [row('ours', 1, 90, 100, 120), row('DataLoader', 1, 60, 50, 40), row('ours', 2, 180, 210, 180),
            row('ours', 1, 1, 7, 9, augment='standard')]
    lines = format_data(rows).splitlines()
    assert lines[1].split() == ['evaluation', 'none', '1', 'ours', '100']
    assert lines[2].endswith('2.00 x (1.50 to 3.00)')
    assert lines[3].endswith('2.00 x (1.50 to 2.10) of 1 worker')
    assert lines[4].split() == ['training', 'standard', '1', 'ours', '7']


@pytest.mark.slow
def test_everything_in_one_run():
    """Without data of one's own, on the shards that were prepared."""
    done = []
    rows = measure_data(None, 16, 2, (1,), 1, 10, lambda: done.append(1), images=4)
    assert [row['images'] for row in rows[:3]] == [11, 22, 44]
    assert all(row['cpu_seconds'] > 0 and 50 < row['peak_megabytes'] < 500 for row in rows[:3])
    assert len(rows) == len(done) == 3 + 12
    assert {(row['what'], row['augment']) for row in rows[3:]} == {
        ('training', 'standard'), ('training', 'autoaugment'), ('evaluation', 'none')}
    assert all(row['images_per_second'] > 0 for row in rows)


def test_nothing_to_read():
    with pytest.raises(InputError, match='--rec-train is needed'):
        measure_data(prepare_images=0)
    assert_refused(script_here('gluon/benchmark.py', 'data', '--prepare-images', 3), '--prepare-images must be 0 or at')
