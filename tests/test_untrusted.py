"""Functions in limited processes: whatever they do, this process lives on and is told."""
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.untrusted import Failed, in_limited_process

from .processes import ROOT


def nested(value):
    return nested(value) + 1


def children():
    """The processes that this one has begun and not waited for: other tests may leave some that serve them all."""
    return {process for told in Path('/proc/self/task').glob('*/children') for process in told.read_text().split()}


def refuse(text):
    raise InputError(text)


def test_results_and_errors_come_back():
    assert in_limited_process(os.getpid) != os.getpid()
    wanted = {'a': [1, 'é', b'\0'], 'b': np.arange(1_000_000)}
    found = in_limited_process(lambda: wanted)
    assert found['a'] == wanted['a']
    assert np.array_equal(found['b'], wanted['b'])
    with pytest.raises(InputError, match=r'^x: bad$'):
        in_limited_process(refuse, 'x: bad')
    with pytest.raises(Failed, match=r'^KeyError: '):
        in_limited_process(lambda: {}['a\nb'])


@pytest.mark.parametrize('work, wanted', [
    (lambda: ctypes.string_at(0), 'SIGSEGV'), (os.abort, 'SIGABRT'), (lambda: os._exit(7), 'exit code 7'),
    (lambda: sys.exit(0), 'exit code 1'), (lambda: nested(0), 'RecursionError'), (threading.Lock, 'TypeError'),
    (lambda: np.ones(1 << 30), 'more than 100 MB'), (lambda: bytearray(1 << 40), 'more than 100 MB'),
    (lambda: time.sleep(60), 'longer than 2 s'), (lambda: os.kill(os.getpid(), signal.SIGSTOP), 'longer than')],
    ids=range(10))
def test_what_goes_wrong_ends_it_alone(work, wanted, capfd):
    before, start = children(), time.monotonic()
    with pytest.raises(Failed, match=wanted) as error:
        in_limited_process(work, seconds=2 if 'longer' in wanted else 20, megabytes=100)
    assert len(str(error.value).splitlines()) == 1
    assert time.monotonic() - start < 50
    assert children() == before     # it is gone, and waited for
    assert capfd.readouterr() == ('', '')


def test_it_ends_with_its_parent():
    code = ('import os, time; from resnest.untrusted import in_limited_process\n'
            'in_limited_process(lambda: (os.write(pipe, b"x"), time.sleep(60)))')
    ours, theirs = os.pipe()
    with subprocess.Popen([sys.executable, '-c', f'pipe = {theirs}; {code}'], pass_fds=[theirs], cwd=ROOT) as process:
        os.close(theirs)
        assert os.read(ours, 1) == b'x'
        process.kill()
    assert os.read(ours, 1) == b''      # the child had the other end
    os.close(ours)
