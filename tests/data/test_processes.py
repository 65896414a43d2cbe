"""Batches made by processes: the same as by threads, and what becomes of processes that die, stop or find no memory."""
import os
import pickle
import resource
import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.data import Loader, RecordSet, SampleLoader, WrongRecord, training_transform
from resnest.gluon.data import processes as module
from resnest.gluon.data.images.decoding import BadImage
from resnest.gluon.data.processes import Memory, settled

from .test_loader import BATCHES, Boxes, padded


class Signalled(Boxes):
    """The process that makes the record ``at`` sends itself a signal."""

    def __init__(self, at, number):
        super().__init__(6)
        self.at, self.number = at, number

    def make(self, record, index):
        if record == self.at:
            os.kill(os.getpid(), self.number)
        return super().make(record, index)


class Told(Boxes):
    """Of each record the process that makes it."""

    def make(self, record, index):
        return os.getpid()


def test_the_same_pixels(squares):
    with RecordSet(squares, 'train') as records:
        transform = training_transform('autoaugment', 48)
        batches = np.arange(24).reshape(4, 6)
        one, other = (list(Loader(records, transform, batches, 4, workers, seed=3)) for workers in (2, (2, 'process')))
    assert len(one) == len(other) == 4
    for (pixels, labels), (same, alike) in zip(one, other):
        np.testing.assert_array_equal(pixels, same)
        np.testing.assert_array_equal(labels, alike)
        assert same.flags.writeable


def test_samples_of_any_kind_and_what_is_passed_over():
    samples = Boxes(6, at3=BadImage('x', 'it is no image'))
    found = []
    for workers in (2, (2, 'process')):
        loader = SampleLoader(samples, BATCHES, padded, workers, skip_bad=True)
        rows = [(pictures.tolist(), boxes, len(loader.skipped)) for pictures, boxes in loader]
        found.append((rows, loader.skipped))
    assert found[0] == found[1]
    assert len(found[1][1]) == 1
    with pytest.raises(InputError, match='boxes.json: picture 3: not a readable image .*--skip-bad'):
        list(SampleLoader(samples, BATCHES, padded, (2, 'process')))
    with pytest.raises(WrongRecord, match='too many'):
        list(SampleLoader(Boxes(6, at5=WrongRecord('too many')), BATCHES, padded, (2, 'process'), skip_bad=True))
    with pytest.raises(RuntimeError, match='in data worker 1 of 2:\n(.*\n)*ZeroDivisionError'):
        list(SampleLoader(Boxes(6, at0=ZeroDivisionError()), BATCHES, padded, (2, 'process')))


def test_loaders_that_two_threads_start_at_once():
    main = sys.modules['__main__']
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: list(SampleLoader(Told(4), [[0], [1]], list, (2, 'process'))), range(4)))
    assert len({pid for batches in found for pid, in batches}) == 8
    assert sys.modules['__main__'] is main


def test_workers_have_processes_of_their_own_and_end():
    loader = SampleLoader(Told(6), [[number] for number in range(40)], list, (2, 'process'))
    before = set(os.listdir('/dev/shm'))
    batches = iter(loader)
    pids = {next(batches)[0] for _ in range(6)}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert set(os.listdir('/dev/shm')) == before        # nothing that could fill it
    batches.close()
    assert not [pid for pid in pids if os.path.exists(f'/proc/{pid}')]


def test_a_worker_that_is_killed_is_told():
    loader = SampleLoader(Signalled(4, signal.SIGKILL), BATCHES, padded, (1, 'process'))
    with pytest.raises(InputError, match=r'^data worker 1 of 1 \(process \d+\) died \(SIGKILL\) at the batch of sample '
                                         r'2; if memory ran out, use fewer --num-workers .*$'):
        list(loader)


def test_a_signal_to_the_whole_job_is_not_theirs():
    loader = SampleLoader(Signalled(4, signal.SIGTERM), BATCHES, padded, (1, 'process'))
    assert len(list(loader)) == 4


def test_a_worker_that_is_stopped_is_told(monkeypatch):
    monkeypatch.setattr(module, 'PATIENCE', 2)
    loader = SampleLoader(Signalled(4, signal.SIGSTOP), BATCHES[2:], padded, (1, 'process'))
    with pytest.raises(InputError, match=r'process \d+\) has not answered for 2 s, at the batch of sample 2: .*'):
        list(loader)


def test_no_shared_memory():
    memory, limits = Memory(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(InputError, match='^there is no shared memory for a batch of 2 MB .*--num-workers'):
            memory.write(np.zeros(2 << 20, dtype=np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    value = {'a': np.arange(6).reshape(2, 3).T, 'b': [np.zeros((0, 4)), 'text', np.float32(2)]}
    sizes, new = memory.write(value)
    assert new
    assert not memory.write(value)[1]
    found = Memory(os.dup(memory.descriptor)).read(sizes)
    assert pickle.dumps(found) == pickle.dumps(value)


def test_what_cannot_be_handed_over():
    with pytest.raises(InputError, match='cannot be handed to processes .*--workers-kind thread'):
        list(SampleLoader(Boxes(6), BATCHES, lambda samples: samples, (1, 'process')))


@pytest.mark.parametrize('cores, workers, wanted', [
    (1, (None, None), (2, 'thread')), (4, (None, None), (4, 'thread')), (12, (None, None), (12, 'process')),
    (96, (None, None), (16, 'process')), (2, (12, None), (12, 'thread')), (12, (3, None), (3, 'thread')),
    (12, (None, 'thread'), (12, 'thread')), (2, (1, 'process'), (1, 'process')), (12, 8, (8, 'thread'))])
def test_cores_choose(monkeypatch, cores, workers, wanted):
    monkeypatch.setattr(module, 'cores_of_rank', lambda: cores)
    assert settled(workers) == wanted
