"""Checkpoints hold everything, and say so when they do not."""
import hashlib
import json
import os

import mxnet as mx
import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.distributed import Job
from resnest.gluon.tasks.classification import Classification
from resnest.gluon.tasks.classification import ClassificationConfig as Config
from resnest.gluon.training import recipe
from resnest.gluon.training.methods.averaging import AveragedWeights
from resnest.gluon.training.run import checkpoint
from resnest.gluon.training.run.arrays import write_arrays
from resnest.gluon.training.run.beginning import resume
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
    checkpoint.prune(tmp_path / 'checkpoint-0010-000100.npz', 2)
    assert not list(tmp_path.glob('*.part'))
    (tmp_path / 'checkpoint-0001-000000.npz').rmdir()
    assert [path.stem for path in checkpoint.found(tmp_path)] == ['checkpoint-0010-000005', 'checkpoint-0010-000100']


@pytest.mark.parametrize('keep, left', [(1, [(3, 0)]), (2, [(2, 0), (3, 0)]), (9, [(1, 0), (2, 0), (3, 0)])])
def test_what_cannot_be_used_takes_no_place(tmp_path, keep, left):
    """Neither one that was passed over as damaged, nor one that seems to be further on than the one just written."""
    for epoch, step in ((1, 0), (2, 0), (2, 6), (3, 0), (4, 0)):
        checkpoint.save(tmp_path, epoch, step, {}, STATE)
    checkpoint.prune(tmp_path / 'checkpoint-0003-000000.npz', keep, [tmp_path / 'checkpoint-0002-000006.npz'])
    assert [path.stem for path in checkpoint.found(tmp_path)] == [f'checkpoint-{epoch:04d}-{step:06d}'
                                                                   for epoch, step in left]


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
    with pytest.raises(InputError, match=r'checkpoint-0001-000000\.npz: not a checkpoint, or a dam'):
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


def resaved(folder, arrays=None, state=None, text=None):
    """The bytes of a checkpoint whose hash fits."""
    text = json.dumps({**STATE, **(state or {})}).encode() if text is None else text
    arrays = {**(arrays or {}), 'state': np.frombuffer(text, np.uint8)}
    write_arrays(folder / 'x', {**arrays, 'sha256': np.frombuffer(checkpoint.digest(arrays), np.uint8)})
    return (folder / 'x').read_bytes()


@pytest.mark.parametrize('state', [
    {'epoch': '1'}, {'epoch': -1}, {'epoch': True}, {'epoch': 2 ** 31}, {'step': 1.0}, {'step': None},
    {'skipped_steps': 'x'}, {'best': 5}, {'best': {'top1': 5}}, {'rows': {}}, {'rows': [{'loss': 1}]}, {'rows': [5]},
    {'seconds': -1.0}, {'seconds': float('nan')}, {'seconds': 'x'}, {'recipe': []}, {'loss_scale': [1]},
    {'loss_scale': [0, 1]}, {'loss_scale': [1.0, 'x']}, {'counters': 'loss'}, {'counters': [1]}], ids=str)
def test_a_state_that_is_nonsense(tmp_path, state):
    (key,) = state
    data = resaved(tmp_path, state=state)
    with pytest.raises(InputError, match=rf'^a: not a checkpoint.*\(its state has no sensible {key}\)'):
        checkpoint.load(data, 'a')
    (tmp_path / 'checkpoint-0001-000002.npz').write_bytes(data)
    checkpoint.save(tmp_path, 1, 1, {}, STATE)
    path, _, damaged = checkpoint.newest(tmp_path)
    assert (path.stem, len(damaged)) == ('checkpoint-0001-000001', 1)


@pytest.mark.parametrize('text', [b'', b'5', b'{', b'\xff', b'[' * 9999, b'{"epoch": ' + b'1' * 5000 + b'}',
                                  b'{"x": "\\ud800"}'])
def test_a_state_that_is_none(tmp_path, text):
    with pytest.raises(InputError) as caught:
        checkpoint.load(resaved(tmp_path, text=text), 'a\nb')
    assert len(str(caught.value).splitlines()) == 1


def test_a_figure_may_be_no_number(tmp_path):
    """A mean over no class at all."""
    state = {'rows': [{'epoch': 1, 'miou': float('nan')}]}
    _, found = checkpoint.load(resaved(tmp_path, state=state), 'a')
    assert str(found['rows']) == "[{'epoch': 1, 'miou': nan}]"


@pytest.mark.parametrize('key', ['epoch', 'step', 'best', 'rows', 'seconds', 'recipe', 'skipped_steps', 'loss_scale'])
def test_what_a_run_needs(tmp_path, key):
    path = checkpoint.save(tmp_path, 1, 2, {}, {name: value for name, value in STATE.items() if name != key})
    assert checkpoint.newest(tmp_path) == (None, None, [path])


@pytest.mark.parametrize('name, value, wanted', [
    ('ranks/counters', None, 'its counters are none'), ('ranks/counters', np.zeros((1, 2)), 'its counters'),
    ('ranks/counters', np.array(5.0), 'its counters'), ('ranks/counters', np.full((1, 6), np.nan), 'its counters'),
    ('ranks/net', None, 'its running statistics'), ('ranks/net', np.zeros((1, 3)), 'its running statistics'),
    ('ranks/average', np.zeros((2, 8)), 'its running statistics'),
    ('net/fc.weight', np.zeros((2, 2)), 'of another network: fc.weight'),
    ('net/fc.weight', None, 'of another network: fc.weight'),
    ('optimizer/fc.weight/0', np.zeros(3), 'the momentum of fc.weight has another shape'),
    ('average/fc.weight', np.zeros(3), 'averaged weights .* another network: fc.weight'),
    ('average/updates', np.array([1.5]), 'do not tell how many updates'),
    ('average/updates', np.array([-1]), 'do not tell how many updates')])
def test_arrays_that_do_not_fit(tiny, tmp_path, name, value, wanted):
    """Told in one line, and nothing is changed."""
    net, step, averages = make(tiny)
    train(net, step, averages, range(1))
    arrays = {key: array for key, array in collect(net, step, averages, COUNTED, JOB).items() if key != name}
    data = resaved(tmp_path, {**arrays, **({} if value is None else {name: value})})
    other = make(tiny)
    before = values(other[0], other[2])
    with pytest.raises(InputError, match=wanted):
        restore(data, 'x', *other, JOB)
    for key, array in values(other[0], other[2]).items():
        np.testing.assert_array_equal(array, before[key])


@pytest.mark.parametrize('state, wanted', [
    ({'best': {'epoch': 1}}, 'of another task'), ({'best': {'epoch': 1, 'top1': 'high'}}, 'of another task'),
    ({'counters': [*COUNTERS, 'wrong']}, 'of another task'),
    ({'recipe': {'lr': 'fast'}}, "lr must be a number, got 'fast'"), ({'recipe': {'num_epochs': 0}}, 'at least 1'),
    ({'recipe': {'num_epochs': 2, 'warmup_epochs': 3.0}}, '--warmup-epochs 3 is more than'),
    ({'recipe': {'derived': 5}}, 'derived'), ({'recipe': {'derived': {'global_batch_size': 'x'}}}, 'derived'),
    ({'recipe': {'derived': {'global_batch_size': 4, 'ranks': 1, 'learning_rate': float('nan')}}}, 'derived')])
def test_a_run_that_cannot_be(tiny, tmp_path, state, wanted):
    net, step, averages = make(tiny)
    data = resaved(tmp_path, collect(net, step, averages, COUNTED, JOB), state)
    (tmp_path / 'checkpoint-0001-000002.npz').write_bytes(data)
    config = Config(batch_size=4, lr=0.1, num_epochs=5, warmup_epochs=1, save_dir=tmp_path, resume='auto')
    task = Classification(net, net, config, mx.cpu())
    with pytest.raises(InputError, match=f'checkpoint-0001-000002.npz: .*{wanted}') as caught:
        resume(task, config, JOB, step, averages, recipe.resolved(config, 1, 7), print)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize('stored, content, known', [
    ({}, b'1', True), ({'sha256': hashlib.sha256(b'1').hexdigest()}, b'1', True),
    ({'sha256': hashlib.sha256(b'1').hexdigest()}, b'2', False), ({'sha256': 5}, b'1', False), ({}, None, False)])
def test_whose_weights_are_the_best(tiny, tmp_path, stored, content, known):
    """Those of the hash that the checkpoint tells; checkpoints of earlier versions tell none."""
    config = Config(batch_size=4, lr=0.1, num_epochs=5, warmup_epochs=1, seed=3, mixup=True, save_dir=tmp_path,
                    resume='auto')
    net, step, averages = make(tiny)
    task = Classification(net, net, config, mx.cpu())
    counters = dict.fromkeys((*COUNTERS, *task.sums), 0.0)
    now, best = recipe.resolved(config, 1, 7), {'epoch': 1, 'top1': 5.0, **stored}
    state = {'best': best, 'recipe': now, 'counters': list(counters)}
    (tmp_path / 'checkpoint-0001-000002.npz').write_bytes(
        resaved(tmp_path, collect(net, step, averages, counters, JOB), state))
    if content:
        (tmp_path / 'best.params').write_bytes(content)
    found, _ = resume(task, config, JOB, step, averages, now, print)
    assert found['best'] == (best if known else None)
    assert found['damaged'] == []


def test_other_files_in_the_folder(tmp_path):
    names = ('checkpoint-1x-2.npz', 'checkpoint-0001-000002-copy.npz', 'checkpoint-1-.npz',
             f'checkpoint-{9 ** 99}-1.npz')
    for name in names:
        (tmp_path / name).write_bytes(b'mine')
    assert checkpoint.newest(tmp_path) == (None, None, [])
    checkpoint.save(tmp_path, 1, 2, {}, STATE)
    checkpoint.prune(tmp_path / 'checkpoint-0001-000002.npz', 1)
    assert all((tmp_path / name).exists() for name in names)


def test_what_is_no_plain_file(tmp_path):
    (tmp_path / 'out').mkdir()
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'zero').symlink_to('/dev/zero')
    (tmp_path / 'loop').symlink_to('loop')
    with open(tmp_path / 'sparse', 'wb') as opened:
        opened.truncate(2 ** 40)
    for name, wanted in (('pipe', 'no plain file'), ('zero', 'no plain file'), ('loop', 'no such checkpoint'),
                         ('sparse', 'not a checkpoint'), ('out', 'Is a directory'), ('a\nb', 'no such checkpoint')):
        with pytest.raises(InputError, match=wanted) as caught:
            checkpoint.read(tmp_path / name, tmp_path / 'out')
        assert len(str(caught.value).splitlines()) == 1
