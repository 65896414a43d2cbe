"""Which device is taken."""
from types import SimpleNamespace

import mxnet as mx
import pytest

from resnest import runtime
from resnest.errors import InputError
from resnest.gluon import device
from resnest.gluon.device import choose_device, require_memory


@pytest.fixture
def gpus(monkeypatch):
    """Say how many GPUs MXNet finds."""
    def has(count):
        monkeypatch.setattr(mx.context, 'num_gpus', lambda: count)
        monkeypatch.setattr(runtime, 'check_gpus', lambda: None)
    return has


def rank(number, local, identities):
    """Rank ``number`` of a job in which the ranks' GPUs are these."""
    return SimpleNamespace(local_rank=local, size=len(identities), gather_bytes=lambda mine, name: [
        mine if other == number else identity for other, identity in enumerate(identities)])


def test_a_gpu_where_there_is_one(gpus):
    gpus(0)
    assert choose_device() == choose_device(no_cuda=True) == mx.cpu()
    gpus(2)
    assert choose_device(cuda=True) == mx.gpu(0)
    assert choose_device(no_cuda=True) == mx.cpu()


@pytest.mark.parametrize('visible, expected', [(4, (0, 1, 2, 3)), (1, (0, 0, 0, 0)), (2, (0, 1, 0, 1)),
                                               (8, (0, 1, 2, 3))])
def test_the_gpu_of_the_local_rank_among_those_that_it_sees(gpus, monkeypatch, visible, expected):
    """--gpus-per-node=4; --gpus-per-task=1, where each sees its own as gpu(0); two tasks on a pair each."""
    gpus(visible)
    identities = [b'GPU %d' % number for number in range(4)]
    for number in range(4):
        monkeypatch.setattr(runtime, 'gpu_identity', lambda index, own=identities[number]: own)
        assert choose_device(job=rank(number, number, identities)) == mx.gpu(expected[number])


def test_a_gpu_is_for_one_rank(gpus, monkeypatch):
    gpus(1)
    monkeypatch.setattr(runtime, 'gpu_identity', lambda index: b'the only one')
    with pytest.raises(InputError, match='^ranks 0 and 1 would share one GPU; start one process per GPU, or use --no-'):
        choose_device(job=rank(1, 1, [b'the only one', b'']))
    monkeypatch.setattr(runtime, 'gpu_identity', lambda index: b'')      # an old driver
    assert choose_device(job=rank(1, 1, [b'', b''])) == mx.gpu(0)
    assert choose_device(no_cuda=True, job=rank(1, 1, [b'the only one', b''])) == mx.cpu()


def test_a_gpu_that_is_asked_for_and_not_there(gpus):
    gpus(0)
    with pytest.raises(InputError, match='--cuda: MXNet finds no GPU here; resnest env tells'):
        choose_device(cuda=True)


@pytest.mark.parametrize('names, limit, free', [
    (('max', 'current'), '5000', 4600), (('limit_in_bytes', 'usage_in_bytes'), '5000', 4600),
    (('max', 'current'), '500', 100), (('max', 'current'), 'max', None), (('max', 'nothing'), '5000', None)])
def test_free_memory_is_what_the_container_leaves(names, limit, free, tmp_path, monkeypatch):
    """Of its limit; what it keeps of files can go."""
    for name, text in ((names[0], limit), (names[1], '1000'), ('stat', 'anon 300\ninactive_file 600\n')):
        (tmp_path / f'memory.{name}').write_text(f'{text}\n')
    monkeypatch.setattr(device, 'cgroup_folders', lambda controller: [tmp_path / 'none', tmp_path])
    if free is None:
        require_memory(1 << 20, mx.cpu(), 'a crop', 'use a smaller one')
        free = 1 << 60
    with pytest.raises(InputError, match=r'^a crop takes more than .* GB are free; use a smaller one$'):
        require_memory(free + 1, mx.cpu(), 'a crop', 'use a smaller one')
    monkeypatch.setattr(device, 'cgroup_folders', lambda controller: [])
    require_memory(5000, mx.cpu(), 'a crop', 'use a smaller one')
