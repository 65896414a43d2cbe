"""Checkpoints of a run: damaged archives, headers and states, with and without a hash that fits."""
import copy
import functools
import io
import json
import os
import zipfile

import numpy as np

from resnest.gluon.distributed import Job
from resnest.gluon.tasks.classification import Classification, ClassificationConfig
from resnest.gluon.training import recipe
from resnest.gluon.training.methods.averaging import AveragedWeights
from resnest.gluon.training.run import checkpoint
from resnest.gluon.training.run.arrays import write_arrays
from resnest.gluon.training.run.beginning import resume
from resnest.gluon.training.run.state import COUNTERS, collect
from resnest.gluon.training.run.step import Step

from .mutations import damaged_bytes, damaged_value, hostile_file

JOB = Job(None)
CONFIG = ClassificationConfig(batch_size=4, lr=0.1, num_epochs=5, warmup_epochs=1, model='resnest14')
HEADERS = [b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }\n",
           b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }\n", b"{'descr': '|O', 'fortran_order': False, "
           b"'shape': (), }\n", b"{'descr': '<f4', 'fortran_order': True, 'shape': (3,), }\n", b'(' * 5000, b'{' * 60,
           b"__import__('os').system('touch hacked')\n", b"{'descr': [('a', '<f4')], 'fortran_order': False, "
           b"'shape': (1,), }\n", b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b'1, ' * 5000 + b'), }\n',
           b"{'descr': '<M8', 'fortran_order': False, 'shape': (2,), }\n", b'\xff\n', b'']


@functools.cache
def parts():
    """The network, the task and a checkpoint's arrays and state."""
    import mxnet as mx
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(2, 3, in_channels=3), mx.gluon.nn.BatchNorm(in_channels=2),
            mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Flatten(), mx.gluon.nn.Dense(3, in_units=2))
    net.initialize()
    task = Classification(net, net, CONFIG, mx.cpu())
    step, averages = Step(task, CONFIG, JOB, mx.cpu(), 10, 2), AveragedWeights(net, 0.9)
    step([(np.arange(4), (np.zeros((4, 8, 8, 3), np.uint8), np.arange(4) % 3))], 0, 0)
    counters = dict.fromkeys((*COUNTERS, *task.sums), 1.0)
    now = recipe.resolved(CONFIG, 1, 7)
    row = {'epoch': 1, 'loss': 1.5, 'lr': 0.1, 'top1': 50.0, 'seen': 9}
    state = {'epoch': 1, 'step': 2, 'best': row, 'rows': [row], 'seconds': 1.5, 'recipe': now, 'skipped_steps': 0,
             'loss_scale': [2.0, 3], 'counters': list(counters), 'versions': recipe.versions()}
    return task, step, averages, collect(net, step, averages, counters, JOB), state


def archive(rng, arrays):
    """The bytes of an archive with members of the wrong kind."""
    packed, hostile = io.BytesIO(), str(rng.choice(list(arrays)))
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
    with zipfile.ZipFile(packed, 'w') as written:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array)
            data = member.getvalue()
            if name == hostile and rng.random() < 0.7:
                header = HEADERS[rng.integers(len(HEADERS))]
                length = len(header) if rng.random() < 0.8 else int(rng.integers(1 << 16))
                data = data[:6] + bytes([rng.choice([1, 1, 1, 2, 3, 9]), 0]) + length.to_bytes(2, 'little') + header
            info = zipfile.ZipInfo(f'{name}.npy' if rng.random() < 0.99 else f'../{name}')
            written.writestr(info, data, compress_type=int(method) if name == hostile else zipfile.ZIP_STORED)
    return packed.getvalue()


def nonsense(rng, arrays, state, folder):
    """A checkpoint whose hash fits: another state, or other arrays."""
    arrays, state = dict(arrays), copy.deepcopy(state)
    if rng.random() < 0.6:
        for _ in range(rng.integers(1, 3)):
            state = damaged_value(rng, state)
        try:
            text = json.dumps(state, ensure_ascii=bool(rng.random() < 0.8)).encode('utf-8', 'surrogatepass')
        except RecursionError:
            text = b'[' * 10_000
        if rng.random() < 0.1:
            text = damaged_bytes(rng, text)
    else:
        text, name = json.dumps(state).encode(), str(rng.choice(list(arrays)))
        other = [np.zeros(0, np.float32), np.full(arrays[name].shape, np.nan, np.float32), np.ones((2, 3, 4)),
                 np.array(5), np.array([-1]), np.zeros((0, 7)), np.array([1.5], np.float16)]
        arrays.pop(name)
        if rng.random() < 0.8:
            arrays[name if rng.random() < 0.8 else f'{name}x'] = other[rng.integers(len(other))]
    return save(folder, arrays, text)


def save(folder, arrays, text):
    arrays = {**arrays, 'state': np.frombuffer(text, np.uint8)}
    arrays['sha256'] = np.frombuffer(checkpoint.digest(arrays), np.uint8)
    write_arrays(folder / 'x', arrays)
    data = (folder / 'x').read_bytes()
    os.unlink(folder / 'x')
    return data


def case(rng, folder):
    task, step, averages, arrays, state = parts()
    path = folder / 'checkpoint-0001-000002.npz'
    whole = save(folder, arrays, json.dumps(state).encode())
    kind = rng.integers(20)
    if kind == 0:
        hostile_file(rng, path)
    elif kind < 6:
        path.write_bytes(damaged_bytes(rng, whole))
    elif kind < 9:
        tail = len(whole) - 4000 - int(rng.integers(2000))      # the directory of the archive
        path.write_bytes(whole[:tail] + damaged_bytes(rng, whole[tail:]))
    elif kind < 13:
        path.write_bytes(archive(rng, {**arrays, 'state': np.zeros(3, np.uint8), 'sha256': np.zeros(32, np.uint8)}))
    else:
        path.write_bytes(nonsense(rng, arrays, state, folder))
    if rng.random() < 0.1:
        (folder / str(rng.choice(['checkpoint-1x-2.npz', 'checkpoint-0001-000002-copy.npz', 'checkpoint-1-.npz',
                                  'checkpoint-99999999999999999999-1.npz']))).write_bytes(whole)
    named = rng.random() < 0.3
    config = ClassificationConfig(**{**CONFIG.__dict__, 'save_dir': str(folder / 'out' if named else folder),
                                     'resume': str(path) if named else 'auto'})
    found, counters = resume(task, config, JOB, step, averages, recipe.resolved(config, 1, 7), lambda text: None)
    assert counters.keys() == {*COUNTERS, *task.sums}
    assert 0 <= found['step'] <= 7
    assert not os.path.exists('hacked')
