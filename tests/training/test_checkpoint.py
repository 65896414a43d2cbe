"""Checkpoints hold everything, and say so when they do not."""
import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.training import TrainConfig, checkpoint
from resnest.gluon.training.distributed import Workers
from resnest.gluon.training.engine import _make_trainer


def make(tiny, **settings):
    net = tiny(**settings)
    mx.random.seed(0)
    net.initialize(mx.init.MSRAPrelu())
    config = TrainConfig(batch_size=4, lr=0.1, num_epochs=5, warmup_epochs=1)
    return net, _make_trainer(net, config, Workers(None), steps=2)


def train(net, trainer, steps, start=0):
    for step in range(start, start + steps):
        x = mx.nd.array(np.random.default_rng(step).normal(size=(4, 3, 32, 32)))
        with mx.autograd.record():
            loss = (net(x) ** 2).mean()
        loss.backward()
        trainer.step(4)
    return {name: param.data().asnumpy() for name, param in net._collect_params_with_prefix().items()}


def test_going_on_equals_never_having_stopped(tiny, tmp_path):
    net, trainer = make(tiny)
    train(net, trainer, 3)
    checkpoint.save(tmp_path / 'checkpoint-0003.npz', net, trainer, {'epoch': 1, 'note': 'x'})
    wanted = train(net, trainer, 4, start=3)
    other, other_trainer = make(tiny)
    train(other, other_trainer, 1, start=50)
    state = checkpoint.restore(checkpoint.latest(tmp_path).read_bytes(), 'x', other, other_trainer, steps=3)
    assert state == {'epoch': 1, 'note': 'x'}
    found = train(other, other_trainer, 4, start=3)
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert other_trainer.learning_rate == trainer.learning_rate


def test_latest_is_the_newest(tmp_path):
    assert checkpoint.latest(tmp_path) is None
    for epoch in (2, 10, 9):
        (tmp_path / f'checkpoint-{epoch:04d}.npz').touch()
    assert checkpoint.latest(tmp_path).name == 'checkpoint-0010.npz'


@pytest.mark.parametrize('damage', [lambda data: data[:-100], lambda data: data[:5000] + b'\0\1\2\3' + data[5004:],
                                    lambda data: b'', lambda data: b'PK nonsense'])
def test_damage_is_told_and_changes_nothing(tiny, tmp_path, damage):
    net, trainer = make(tiny)
    train(net, trainer, 1)
    path = tmp_path / 'checkpoint-0001.npz'
    checkpoint.save(path, net, trainer, {'epoch': 1})
    path.write_bytes(damage(path.read_bytes()))
    other, other_trainer = make(tiny)
    before = train(other, other_trainer, 0)
    with pytest.raises(InputError, match=r'checkpoint-0001\.npz: not a checkpoint of train.py, or a damaged one'):
        checkpoint.restore(path.read_bytes(), path.name, other, other_trainer, 2)
    for name, value in train(other, other_trainer, 0).items():
        np.testing.assert_array_equal(value, before[name])


def test_another_network_is_told(tiny, tmp_path):
    net, trainer = make(tiny)
    train(net, trainer, 1)
    checkpoint.save(tmp_path / 'x.npz', net, trainer, {'epoch': 1})
    with pytest.raises(InputError, match=r'x: of another network: fc.weight'):
        checkpoint.restore((tmp_path / 'x.npz').read_bytes(), 'x', *make(tiny, classes=11), 2)


@pytest.mark.parametrize('make_file', [
    lambda path: np.save(path, np.zeros(3)), lambda path: np.savez(path, state=np.zeros(3)),
    lambda path: np.savez(path, **{'net/fc.weight': np.zeros(3)}), lambda path: mx.nd.save(str(path), [mx.nd.ones(2)])])
def test_files_of_other_kinds(tmp_path, make_file):
    path = tmp_path / 'other.npz'
    make_file(path)
    path = path if path.exists() else tmp_path / 'other.npz.npy'
    with pytest.raises(InputError, match='not a checkpoint'):
        checkpoint.load(path.read_bytes(), path.name)
