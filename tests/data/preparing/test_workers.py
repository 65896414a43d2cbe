"""Worker processes that die, cannot be started or run out of memory: an error that says which, and no other."""
import multiprocessing.popen_fork
import os
import signal

import pytest

from resnest.errors import InputError
from resnest.gluon.data.preparing.workers import in_processes


def run(work, tasks=(1, 2, 3), workers=1):
    return dict(in_processes(work, list(tasks), workers, lambda count: None, 'task {}'.format))


def test_each_task_once():
    counted = []
    found = dict(in_processes(lambda task, count: count(task) or (task * task, os.getpid()), [1, 2, 3, 4], 3,
                              counted.append))
    assert {task: square for task, (square, _) in found.items()} == {1: 1, 2: 4, 3: 9, 4: 16}
    assert sum(counted) == 10
    assert os.getpid() not in {process for _, process in found.values()}
    assert run(lambda task, count: task, ()) == {}


def test_one_that_dies_between_two_tasks():
    """As it was, a BrokenPipeError, for which the command ended as if its reader had gone."""
    results = in_processes(lambda task, count: os.getpid(), [1, 2], 1, lambda count: None, 'task {}'.format)
    task, process = next(results)
    assert task == 1
    os.kill(process, signal.SIGKILL)
    os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    with pytest.raises(InputError, match=r'a worker process died \(SIGKILL\) at task 2 \(process \d+\).*run again'):
        next(results)


@pytest.mark.parametrize('work, wanted', [
    (lambda task, count: os._exit(task), r'died \(exit code 1\) at task 1 \(process \d+\)'),
    (lambda task, count: os.kill(os.getpid(), signal.SIGTERM), r'died \(SIGTERM\) at task 1'),
    (lambda task, count: bytearray(1 << 60), 'memory ran out at task 1; use fewer --num-workers')])
def test_one_that_dies_or_has_no_memory(work, wanted):
    with pytest.raises(InputError, match=wanted):
        run(work)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)      # none is left


def test_one_that_cannot_be_started(monkeypatch):
    def fork():
        raise BlockingIOError(11, 'Resource temporarily unavailable')

    monkeypatch.setattr(multiprocessing.popen_fork.os, 'fork', fork)
    with pytest.raises(InputError, match='worker process 1 of 2 cannot be started .*temporarily.*fewer --num-workers'):
        run(lambda task, count: None, workers=2)


def test_a_defect_keeps_its_traceback():
    with pytest.raises(RuntimeError, match='ZeroDivisionError'):
        run(lambda task, count: task / 0)
