"""Which device is taken."""
import mxnet as mx
import pytest

from resnest import runtime
from resnest.errors import InputError
from resnest.gluon.device import choose_device


@pytest.fixture
def gpus(monkeypatch):
    """Say how many GPUs MXNet finds."""
    def has(count):
        monkeypatch.setattr(mx.context, 'num_gpus', lambda: count)
        monkeypatch.setattr(runtime, 'check_gpus', lambda: None)
    return has


def test_a_gpu_where_there_is_one(gpus):
    gpus(0)
    assert choose_device() == choose_device(no_cuda=True) == mx.cpu()
    gpus(2)
    assert (choose_device(local_rank=1), choose_device(cuda=True)) == (mx.gpu(1), mx.gpu(0))
    assert choose_device(no_cuda=True) == mx.cpu()


def test_a_gpu_that_is_asked_for_and_not_there(gpus):
    gpus(0)
    with pytest.raises(InputError, match='--cuda: MXNet finds no GPU here; resnest env tells'):
        choose_device(cuda=True)
    gpus(1)
    with pytest.raises(InputError, match='local rank 1, but this machine has 1 GPU'):
        choose_device(local_rank=1)
