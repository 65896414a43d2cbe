"""N ranks compute what one computes, where BatchNorm has no say."""
import sys

import mxnet as mx
import numpy as np
import pytest

from resnest.gluon.distributed import Job
from resnest.gluon.mxnet_private import pending_average

from ...conftest import ROOT, command, horovodrun, needs_horovod
from ..runs import last_arrays, little_run, log

# 51 steps of 16 images.
WORDS = ('--layers', 'plain', '--num-epochs', 9, '--warmup-epochs', 1, '--label-smoothing', '--eval-frequency', 9,
         '--clip-gradient', 0.5, '--ema-decay', 0.9, '--wd', 0.01)


def weights(folder):
    return {name: value for name, value in last_arrays(folder).items() if name.startswith(('net/', 'average/'))}


@pytest.fixture(scope='module')
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp('alone')
    result = little_run(folder, *WORDS, '--batch-size', 16, '--lr', 0.1)
    assert result.returncode == 0, result.stderr
    return folder


def assert_close(folder, alone):
    found, wanted = weights(folder), weights(alone)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    for mine, other in zip(log(folder), log(alone)):
        assert mine == pytest.approx(other, rel=1e-4)


@pytest.mark.slow
@needs_horovod
@pytest.mark.parametrize('ranks, words', [(2, ()), (4, ()), (4, ('--deterministic',)), (2, ('--accumulate', 2))])
def test_ranks_that_share_a_batch(alone, tmp_path, ranks, words):
    share = ranks * (2 if '--accumulate' in words else 1)
    result = little_run(tmp_path, *WORDS, '--batch-size', 16 // share, '--lr', 0.1 / share, *words, ranks=ranks)
    assert result.returncode == 0, result.stdout + result.stderr
    assert_close(tmp_path, alone)


def test_accumulation_stands_for_ranks(alone, tmp_path):
    result = little_run(tmp_path, *WORDS, '--batch-size', 4, '--accumulate', 4, '--lr', 0.025)
    assert result.returncode == 0, result.stderr
    assert_close(tmp_path, alone)


@pytest.mark.slow
@needs_horovod
def test_gradients_that_travel_as_float16(alone, tmp_path):
    result = little_run(tmp_path, *WORDS, '--batch-size', 8, '--lr', 0.05, '--fp16-compression', '--fusion-mb', 1,
                        '--cycle-ms', 0.5, ranks=2)
    assert result.returncode == 0, result.stdout + result.stderr
    found, wanted = weights(tmp_path), weights(alone)
    exact = all(np.array_equal(found[name], wanted[name]) for name in wanted)
    assert not exact
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=0.02 * np.abs(value).max() + 1e-3, err_msg=name)


@needs_horovod
@pytest.mark.parametrize('nccl', [0, 20805, 21000, 22105])
def test_small_gradients_of_64_ranks_survive_float16(monkeypatch, nccl):
    """Divided once, whichever NCCL there is: the second of two divisions by 64 would be of values below float16's.

    Horovod's own trainer; the exchange itself does what nccl_operations.cc and gloo_operations.cc of 0.28.1 do.
    """
    import horovod.mxnet as horovod

    def allreduce(tensor, average, name, priority, prescale_factor, postscale_factor, process_set):
        value = (tensor.asnumpy() * np.float16(prescale_factor)).astype('float16')
        if average:         # ncclAvg divides first, then adds
            value = (value / np.float16(64)).astype('float16')
        summed = sum([value] * 64, np.zeros_like(value))
        tensor[:] = mx.nd.array(summed * np.float16(postscale_factor), dtype='float16')

    for name, value in {'rank': 0, 'size': 64, 'local_rank': 0, 'local_size': 8, 'nccl_built': nccl}.items():
        monkeypatch.setattr(horovod, name, lambda value=value: value)
    monkeypatch.setattr(horovod, 'allreduce_', allreduce)
    monkeypatch.setattr(horovod, 'allreduce', lambda array, average, name: array)
    monkeypatch.setattr(horovod.global_process_set, 'size', lambda: 64)
    monkeypatch.setattr(horovod.global_process_set, 'included', lambda: True)
    net = mx.gluon.nn.Dense(1, in_units=3, use_bias=False)
    net.initialize()
    trainer = Job(horovod).trainer(net.collect_params(), 'sgd', fp16_compression=True)
    # The sum of 64 of the last is more than float16 holds.
    gradient = np.array([[2.0 ** -17, 3e-5, 2000]], 'float32')
    net.weight.grad()[:] = mx.nd.array(gradient)
    trainer.allreduce_grads()
    np.testing.assert_allclose(net.weight.grad().asnumpy() * pending_average(trainer), gradient, rtol=0.1)


SHARING = """
import mxnet as mx
import numpy as np
from resnest.errors import InputError
from resnest.gluon.distributed import joined

with joined() as job:
    net = mx.gluon.nn.Dense(3, in_units=2)
    net.initialize()
    net.weight.set_data(mx.nd.array([[job.rank + 1, float('nan') if job.rank else 0], [-2, 1e-30], [3e38, 7]]))
    job.trainer(net.collect_params(), 'sgd')
    assert net.weight.data().asnumpy().tolist() == np.float32([[1, 0], [-2, 1e-30], [3e38, 7]]).tolist()
    for sent in (None, b'', bytes(range(256)) * 5000):
        assert job.from_first(lambda: sent, 'first') == sent
    try:
        job.from_first(lambda: open('missing'), 'file')
    except InputError as error:
        print(error)
"""


@pytest.mark.slow
@needs_horovod
def test_what_the_first_rank_has_comes_to_all_without_the_broadcast_that_crashes():
    result = command(*horovodrun(2), sys.executable, '-W', 'ignore', '-c', SHARING, PYTHONPATH=str(ROOT),
                     HOROVOD_LOG_LEVEL='trace')
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("No such file or directory: 'missing'") == 2
    assert 'horovod_allreduce' in result.stdout
    assert 'horovod_broadcast' not in result.stdout
