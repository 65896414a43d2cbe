"""Exclusive locks on files, between processes; they end with the process that holds them.

On a network file system a lock may outlive a machine that has died, until the lease of its client ends.
"""
import contextlib
import errno
import fcntl
import os
import platform
import stat
import sys
import time
from typing import NamedTuple

from resnest import launchers
from resnest.errors import InputError
from resnest.reading import one_line, read_bytes

__all__ = ['Held', 'LEASE', 'Holder', 'holder_of', 'lock_file', 'sign']

LEASE = 120     # seconds: NFSv4 servers wait 90 for a client that is silent

# What a file system without locks answers, as some network file systems are: going on without a lock is better than
# not at all.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class Held(Exception):
    """Another process holds the lock."""


class Holder(NamedTuple):
    """Who has signed a lock; empty texts where nobody has."""
    host: str
    told: str       # process and job too, for people


def sign(opened):
    """Write into a locked file, whose content is of no other use, which machine, process and job holds it."""
    opened.seek(0)
    opened.truncate()
    job = launchers.job_name()
    opened.write(f'{platform.node()} process {os.getpid()}{f" of {job}" if job else ""}\n'.encode())
    opened.flush()


def holder_of(path):
    """The :class:`Holder` that :func:`sign` wrote into a lock."""
    try:
        told = one_line(read_bytes(path, 1000).decode(errors='replace').strip())
    except InputError:
        told = ''
    return Holder(told.partition(' ')[0], told)


@contextlib.contextmanager
def lock_file(path, wait=0.0, remove=lambda opened: True, on_wait=None):
    """Open ``path`` for appending, as bytes, and hold an exclusive lock on it in the context.

    Parameters
    ----------
    path : Path
    wait : float
        Seconds to try for; ``math.inf`` for as long as it takes.
    remove : callable
        At the end, ``remove(opened)`` says whether the file is to be removed. It is removed only while ``path`` is
        still the file that is locked: the holder may rename or remove it, and another process may then have made a
        new one.
    on_wait : callable
        Called once, without arguments, where another process holds the lock.

    Yields the open file. Raises :class:`Held` where another process still holds the lock after ``wait`` seconds,
    OSError where the file cannot be made, and for what is no plain file (a link, hard or soft, a pipe, a device):
    nothing that lies there is followed or changed. Where the file system has no locks, a line on stderr tells so.
    """
    deadline = time.monotonic() + wait
    while True:
        opened = _open(path)
        try:
            _lock(path, opened)
            if same_file(path, opened):
                break
        except BlockingIOError:
            if on_wait:
                on_wait()
                on_wait = None
            if time.monotonic() >= deadline:
                opened.close()
                raise Held(str(path)) from None
            time.sleep(0.1)
        except BaseException:
            opened.close()
            raise
        opened.close()
    try:
        yield opened
    finally:
        if remove(opened) and same_file(path, opened):
            os.unlink(path)
        opened.close()


def same_file(path, opened):
    """Whether ``path`` names the file that is open."""
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(opened.fileno()))
    except FileNotFoundError:
        return False


def _open(path):
    def safely(name, flags):
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            os.close(descriptor)
            raise OSError(errno.EINVAL, 'is no plain file, or has a second name elsewhere; remove it', str(path))
        return descriptor

    return open(path, 'a+b', opener=safely)


def _lock(path, opened):
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(f'warning: {path}: cannot be locked ({error.strerror}), as on Lustre that is mounted without flock; see '
              f'that nobody else writes there at the same time', file=sys.stderr)
