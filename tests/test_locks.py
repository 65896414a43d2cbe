"""Locks: one holder at a time, gone with their process, removed only while they are the holder's own."""
import errno
import multiprocessing
import os
import platform
import signal
import threading
import time

import pytest

from resnest import locks
from resnest.locks import Held, holder_of, lock_file, sign

FORK = multiprocessing.get_context('fork')


def hold(path, told, seconds=60):
    with lock_file(path):
        told.send('held')
        time.sleep(seconds)


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(tmp_path / 'lock', theirs))
    process.start()
    assert ours.recv() == 'held'
    yield process
    process.kill()
    process.join()


def test_one_holder_and_the_lock_of_a_killed_one_is_free(tmp_path, holder):
    with pytest.raises(Held), lock_file(tmp_path / 'lock'):
        pass
    waited = []
    threading.Timer(0.3, os.kill, (holder.pid, signal.SIGKILL)).start()
    with lock_file(tmp_path / 'lock', wait=20, on_wait=lambda: waited.append(1)):
        assert waited == [1]
    assert not (tmp_path / 'lock').exists()


def test_only_ones_own_lock_is_removed(tmp_path):
    """A holder may rename or remove the file, and another process make a new one, which is that one's lock."""
    path = tmp_path / 'lock'
    for lose in (path.unlink, lambda: path.rename(tmp_path / 'away')):
        with lock_file(path):
            lose()
            path.write_bytes(b'of another')
        assert path.read_bytes() == b'of another'
        path.unlink()
    with lock_file(path, remove=lambda opened: False):
        pass
    assert path.exists()


def test_a_lock_that_was_removed_while_waiting_is_none(tmp_path):
    """Who waited for a file that its holder then removed holds nothing by it, and takes the new one."""
    path, inside = tmp_path / 'lock', []

    def work():
        for _ in range(20):
            with lock_file(path, wait=60):
                inside.append(1)
                assert len(inside) == 1
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside
    assert not path.exists()


def test_nothing_else_is_followed_opened_or_changed(tmp_path):
    (tmp_path / 'precious').write_bytes(b'precious')
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(tmp_path / 'precious', path),
                 lambda path: os.symlink('/dev/zero', path), lambda path: os.symlink(path, path)):
        path = tmp_path / 'lock'
        make(path)
        with pytest.raises(OSError, match=r'lock'), lock_file(path):
            pass
        assert os.path.lexists(path)
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    assert (tmp_path / 'precious').read_bytes() == b'precious'


def test_a_signed_lock_names_its_holder(tmp_path, monkeypatch):
    monkeypatch.setenv('SLURM_JOB_ID', '17')
    path = tmp_path / 'lock'
    path.write_bytes(b'of another' * 20)
    with lock_file(path) as opened:
        sign(opened)
        assert holder_of(path) == (platform.node(), f'{platform.node()} process {os.getpid()} of SLURM 17')
    for nobody in (b'', None):
        path.write_bytes(nobody) if nobody is not None else path.unlink(missing_ok=True)
        assert holder_of(path) == ('', '')


@pytest.mark.parametrize('number', [errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK])
def test_what_cannot_be_locked_is_told(tmp_path, monkeypatch, capsys, number):
    def flock(opened, how):
        raise OSError(number, os.strerror(number))
    monkeypatch.setattr(locks.fcntl, 'flock', flock)
    with lock_file(tmp_path / 'lock'):
        told = capsys.readouterr().err
    assert told.startswith(f'warning: {tmp_path / "lock"}: cannot be locked ({os.strerror(number)})')
    assert told.count('\n') == 1
