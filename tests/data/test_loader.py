"""The loader of any task's samples, here pictures of different sizes with lists of boxes, as detection has them."""
import threading

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import SampleLoader, WrongRecord
from resnest.gluon.data.images.decoding import BadImage
from resnest.gluon.data.loader import REMEDY


class Boxes:
    """Record n is a picture of n + 1 columns with n boxes; ``wrong`` says which raise what."""

    def __init__(self, count, **wrong):
        self.count, self.wrong = count, wrong

    def __len__(self):
        return self.count

    def where(self, record):
        return f'boxes.json: picture {record}'

    def make(self, record, index):
        error = self.wrong.get(f'at{record}')
        if error:
            raise error
        drawn = np.random.default_rng(index).integers(256)
        return np.full((2, record + 1), drawn, dtype=np.uint8), [(record, each) for each in range(record)]


def padded(samples):
    """Pictures in the corner of an array that holds each of them, and the boxes as they are."""
    pictures, boxes = zip(*samples)
    batch = np.zeros((len(pictures), 2, max(each.shape[1] for each in pictures)), dtype=np.uint8)
    for place, picture in zip(batch, pictures):
        place[:, :picture.shape[1]] = picture
    return batch, boxes


BATCHES = [[0, 3], [5, 1], [2, 4], [5, 0]]


@pytest.mark.parametrize('workers', [0, 1, 3])
def test_samples_of_any_kind_in_their_order(workers):
    loader = SampleLoader(Boxes(6), BATCHES, padded, workers)
    assert len(loader) == 4
    for _ in range(2):
        found = list(zip(loader.batches, loader))
        assert [indices for indices, _ in found] == BATCHES
        for indices, (pictures, boxes) in found:
            assert pictures.shape == (2, 2, max(indices) + 1)
            assert [len(each) for each in boxes] == indices
            for index, picture in zip(indices, pictures):
                assert (picture[:, :index + 1] == np.random.default_rng(index).integers(256)).all()
    assert loader.skipped == []


def test_all_threads_make_the_first_batch():
    """Samples that wait for each other: with a thread for each batch none would come."""
    together = threading.Barrier(3, timeout=30)

    class Waiting(Boxes):
        def make(self, record, index):
            together.wait()
            return super().make(record, index)

    loader = SampleLoader(Waiting(6), [[0, 1, 2], [3, 4, 5]], padded, 3)
    assert [list(map(len, boxes)) for _, boxes in loader] == [[0, 1, 2], [3, 4, 5]]


def test_a_loader_that_is_left_makes_no_more():
    made = []

    class Counted(Boxes):
        def make(self, record, index):
            made.append(record)
            return super().make(record, index)

    for _ in SampleLoader(Counted(3), [[0, 1, 2]] * 500, padded, 2):
        break
    assert 3 <= len(made) < 50


@pytest.mark.parametrize('workers', [0, 2])
def test_the_next_record_is_in_the_place_of_a_bad_one(workers):
    """With the random choices of the one whose place it takes; counted when its batch is yielded."""
    samples = Boxes(6, at5=BadImage(5, 'truncated'), at0=InputError('boxes.json: picture 0: no such file'))
    loader = SampleLoader(samples, BATCHES, padded, workers, skip_bad=True)
    skipped = []
    for (index, _), (pictures, boxes) in zip(BATCHES, loader):
        skipped.append(len(loader.skipped))
        assert boxes[0] == [(2, 0), (2, 1)] if index == 2 else [(1, 0)]
        assert pictures[0, 0, 0] == np.random.default_rng(index).integers(256)
    assert skipped == [1, 3, 3, 6]
    assert 'boxes.json: picture 5' in loader.skipped[1]
    with pytest.raises(InputError, match='picture 0: no such file'):
        list(SampleLoader(samples, BATCHES, padded, workers))
    with pytest.raises(InputError, match=r'boxes.json: picture 5.*truncated.*--skip-bad'):
        list(SampleLoader(samples, BATCHES[1:], padded, workers))


@pytest.mark.parametrize('workers', [0, 2])
def test_an_evaluation_leaves_out_what_cannot_be_read(workers):
    """Nothing stands in its place; a batch of which nothing is left is not there."""
    samples = Boxes(6, at0=BadImage(0, 'truncated'), at2=BadImage(2, 'truncated'), at3=BadImage(3, 'truncated'))
    loader = SampleLoader(samples, [[0, 1], [2, 3], [4, 5]], padded, workers, skip_bad='leave out')
    assert [[len(each) for each in boxes] for _, boxes in loader] == [[1], [4, 5]]
    assert len(loader.skipped) == 3
    with pytest.raises(InputError, match=r'truncated\); remove it from the data$'):     # there is no --skip-bad
        list(SampleLoader(samples, [[0]], padded, workers, remedy=REMEDY))


@pytest.mark.parametrize('error, wanted', [(WrongRecord('boxes.json: picture 3: label 80'), 'picture 3: label 80'),
                                           (MemoryError(), 'picture 3: memory ran out')])
def test_what_does_not_fit_is_never_passed_over(error, wanted):
    with pytest.raises(InputError, match=wanted):
        list(SampleLoader(Boxes(6, at3=error), BATCHES, padded, skip_bad=True))
