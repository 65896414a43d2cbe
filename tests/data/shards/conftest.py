"""Folders of shards to damage."""
import numpy as np
import pytest
from mxnet.recordio import IRHeader, MXIndexedRecordIO, pack

from resnest.gluon.data import write_shards

from ...conftest import encoded


def samples(count):
    rng = np.random.default_rng(0)
    return [(encoded(rng.integers(0, 255, (8, 8 + number, 3), dtype=np.uint8)), number % 3) for number in range(count)]


@pytest.fixture
def folder(tmp_path):
    """Three shards of 10 training images and three of 4 validation images, with their manifest."""
    write_shards(tmp_path, {'train': samples(10), 'val': samples(4)}, ['a', 'b', 'c'], 3, seed=7)
    return tmp_path


@pytest.fixture
def foreign(tmp_path):
    """``foreign.rec`` as mxnet's im2rec makes it of a shuffled list, with holes where it could not read an image: the
    keys are the ids, in any order."""
    path = tmp_path / 'foreign.rec'
    writer = MXIndexedRecordIO(str(path.with_suffix('.idx')), str(path), 'w')
    for number, (image, label) in zip((7, 2, 30, 0, 11, 5, 6, 1), samples(8)):
        writer.write_idx(number, pack(IRHeader(0, label, number, 0), image))
    writer.close()
    return path
