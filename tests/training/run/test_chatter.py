"""Lines of MXNet's C++ that tell nobody anything are left out, and nothing else is."""
import os

import mxnet as mx
import pytest

from resnest.gluon.training.run.chatter import without_chatter


def pool(side):
    """An average pooling in training, which oneDNN sets up anew for another size."""
    x = mx.nd.ones((1, 16, side, side))
    with mx.autograd.record():
        mx.nd.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type='avg', count_include_pad=False)


def test_average_pooling_in_training_is_quiet(capfd):
    pool(10)
    mx.nd.waitall()
    said = capfd.readouterr().err
    assert 'prop_kind is forward_scoring' in said       # or there is nothing to leave out any more
    with without_chatter():
        pool(12)
    assert capfd.readouterr().err == ''


def test_everything_else_is_told_in_its_order(capfd):
    with without_chatter():
        os.write(2, b'one\n[12:00:00] ../src/x.cc:58: MKLDNN Pooling: training with prop_kind is forward_scoring\n')
        os.write(2, b'two\n')
        os.write(2, b'[12:00:00] ../src/x.cc:58: MKLDNN Pooling: no memory\nno end')
    assert capfd.readouterr().err == 'one\ntwo\n[12:00:00] ../src/x.cc:58: MKLDNN Pooling: no memory\nno end'


def test_an_error_takes_nothing_along(capfd):
    def fail():
        with without_chatter():
            os.write(2, b'told\n')
            raise ValueError('x')

    with pytest.raises(ValueError, match='x'):
        fail()
    os.write(2, b'later\n')
    assert capfd.readouterr().err == 'told\nlater\n'


def test_where_there_is_no_stderr():
    saved = os.dup(2)
    os.close(2)
    try:
        with without_chatter():
            ran = True
        with pytest.raises(OSError, match='Bad file descriptor'):
            os.fstat(2)
        assert ran
    finally:
        os.dup2(saved, 2)
        os.close(saved)
