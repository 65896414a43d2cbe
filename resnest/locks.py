"""Exclusive locks on files, between processes; they end with the process that holds them."""
import contextlib
import errno
import fcntl
import os
import stat
import time

__all__ = ['Held', 'lock_file']

# What a file system without locks answers, as some network file systems are: going on without a lock is better than
# not at all.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class Held(Exception):
    """Another process holds the lock."""


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
    nothing that lies there is followed or changed.
    """
    deadline = time.monotonic() + wait
    while True:
        opened = _open(path)
        try:
            _lock(opened)
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


def _lock(opened):
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
