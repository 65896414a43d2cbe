"""Checkpoints hold everything, and say so when they do not."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.distributed import Job
from resnest.gluon.tasks.classification import Classification
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training.methods.averaging import AveragedWeights
from resnest.gluon.training.run import checkpoint
from resnest.gluon.training.run.state import COUNTERS, collect, restore
from resnest.gluon.training.run.step import Step

JOB = Job(None)
COUNTED = {name: float(number) for number, name in enumerate((*COUNTERS, 'right'))}
STATE = {'epoch': 1, 'step': 2, 'skipped_steps': 1, 'loss_scale': None, 'counters': list(COUNTED), 'best': None,
         'rows': [], 'seconds': 1.5, 'recipe': {}}


def make(tiny, **settings):
    net = tiny(**settings)
    mx.random.seed(0)
    net.initialize(mx.init.MSRAPrelu())
    config = Config(batch_size=4, lr=0.1, num_epochs=5, warmup_epochs=1, seed=3, mixup=True)
    task = Classification(net, net, config, mx.cpu())
    return net, Step(task, config, JOB, mx.cpu(), 10, 2), AveragedWeights(net, 0.9)


def train(net, step, averages, numbers):
    for number in numbers:
        rng = np.random.default_rng(number)
        indices, images = rng.integers(0, 9, 4), rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        step([(indices, (images, rng.integers(0, 10, 4)))], number // 2, number)
        averages.update()
    return values(net, averages)


def values(net, averages):
    found = {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}
    return {**found, **{f'average {name}': value.asnumpy() for name, value in averages.arrays().items()}}


def test_going_on_equals_never_having_stopped(tiny, tmp_path):
    net, step, averages = make(tiny)
    train(net, step, averages, range(3))
    path = checkpoint.save(tmp_path, 1, 2, collect(net, step, averages, COUNTED, JOB), STATE)
    wanted = train(net, step, averages, range(3, 7))
    other = make(tiny)
    train(*other, range(50, 51))
    assert restore(path.read_bytes(), 'x', *other, JOB) == (STATE, COUNTED)
    assert other[1].skipped == 1
    found = train(*other, range(3, 7))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_an_optimizer_without_momentum_yet(tiny, tmp_path):
    """Nothing is pickled, and what was not stored begins at zero."""
    net, step, averages = make(tiny)
    path = checkpoint.save(tmp_path, 0, 0, collect(net, step, averages, COUNTED, JOB), STATE)
    wanted = train(net, step, averages, range(2))
    other = make(tiny)
    train(*other, range(50, 51))
    restore(path.read_bytes(), 'x', *other, JOB)
    found = train(*other, range(2))
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_first_rank_alone_holds_what_is_written(tiny, monkeypatch):
    net, step, averages = make(tiny)
    train(net, step, averages, range(1))
    job = Job(None)
    own = collect(net, step, averages, COUNTED, job)
    assert len([key for key in own if key.startswith('optimizer/')]) == len(step.trainer._updaters[0].states) > 5
    monkeypatch.setattr(job, 'rank', 1)
    other = collect(net, step, averages, COUNTED, job)
    assert all(key.endswith(('running_mean', 'running_var')) or key.startswith('ranks/') for key in other)
    for key, value in other.items():
        np.testing.assert_array_equal(value, own[key])


def test_the_newest_comes_last_and_old_ones_go(tmp_path):
    assert checkpoint.newest(tmp_path) == (None, None, [])
    for epoch, step in ((2, 0), (10, 5), (10, 100), (9, 7)):
        checkpoint.save(tmp_path, epoch, step, {}, {**STATE, 'epoch': epoch})
    (tmp_path / 'checkpoint-0011-000000.npz.part').touch()
    assert [path.stem for path in checkpoint.found(tmp_path)] == [
        'checkpoint-0002-000000', 'checkpoint-0009-000007', 'checkpoint-0010-000005', 'checkpoint-0010-000100']
    assert checkpoint.newest(tmp_path)[0].stem == 'checkpoint-0010-000100'
    unreadable = tmp_path / 'checkpoint-0012-000000.npz'
    unreadable.mkdir()
    assert checkpoint.newest(tmp_path)[2] == [unreadable]
    unreadable.rmdir()
    (tmp_path / 'checkpoint-0001-000000.npz').mkdir()       # cannot be removed: no reason to stop
    checkpoint.prune(tmp_path, 2)
    assert not list(tmp_path.glob('*.part'))
    (tmp_path / 'checkpoint-0001-000000.npz').rmdir()
    assert [path.stem for path in checkpoint.found(tmp_path)] == ['checkpoint-0010-000005', 'checkpoint-0010-000100']


def flip(data):
    """One bit of an array's values, and the zip archive's own checksum made to fit."""
    import io
    import zipfile
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members['net/fc.bias.npy'] = members['net/fc.bias.npy'][:-1] + b'\1'
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return buffer.getvalue()


@pytest.mark.parametrize('damage', [lambda data: data[:-100], lambda data: data[:5000] + b'\0\1\2\3' + data[5004:],
                                    lambda data: b'', lambda data: b'PK nonsense', flip])
def test_damage_is_told_and_changes_nothing(tiny, tmp_path, damage):
    net, step, averages = make(tiny)
    train(net, step, averages, range(1))
    path = checkpoint.save(tmp_path, 1, 0, collect(net, step, averages, COUNTED, JOB), STATE)
    data = damage(path.read_bytes())
    path.write_bytes(data)
    other = make(tiny)
    before = values(other[0], other[2])
    with pytest.raises(InputError, match=r'checkpoint-0001-000000\.npz: not a checkpoint of train.py, or a dam'):
        restore(data, path.name, *other, JOB)
    for name, value in values(other[0], other[2]).items():
        np.testing.assert_array_equal(value, before[name])
    assert checkpoint.newest(tmp_path) == (None, None, [path])


def test_another_network_is_told(tiny, tmp_path):
    net, step, averages = make(tiny)
    path = checkpoint.save(tmp_path, 1, 0, collect(net, step, None, COUNTED, JOB), STATE)
    with pytest.raises(InputError, match=r'x: of another network: fc.weight'):
        restore(path.read_bytes(), 'x', *make(tiny, classes=11), JOB)
    with pytest.raises(InputError, match=r'x: holds no moving average; leave out --ema-decay'):
        restore(path.read_bytes(), 'x', *make(tiny), JOB)


@pytest.mark.parametrize('make_file', [
    lambda path: np.save(path, np.zeros(3)), lambda path: np.savez(path, state=np.zeros(3)),
    lambda path: np.savez(path, **{'net/fc.weight': np.zeros(3)}), lambda path: mx.nd.save(str(path), [mx.nd.ones(2)])])
def test_files_of_other_kinds(tmp_path, make_file):
    path = tmp_path / 'other.npz'
    with open(path, 'wb') as opened:
        make_file(path if make_file.__code__.co_names[0] == 'mx' else opened)
    with pytest.raises(InputError, match='not a checkpoint'):
        checkpoint.load(path.read_bytes(), path)
