"""Reading in a process of its own, with limits, for readers that cannot be trusted with what may be hostile.

Readers written in C take the whole process with them: a segmentation fault, no memory left, an endless loop. These
are kept away; it is no jail for programs that a file might smuggle in.
"""
import ctypes
import os
import pickle
import resource
import signal
import sys
from multiprocessing import connection
from pathlib import Path

from resnest.errors import InputError
from resnest.reading import one_line

__all__ = ['Failed', 'end_with_parent', 'in_limited_process']

PR_SET_PDEATHSIG = 1        # prctl(2)
FATAL = (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTERM)


class Failed(Exception):
    """There is no result; the message is one line that says why, and names no file."""


def in_limited_process(function, *args, seconds=60, megabytes=1024):
    """``function(*args)``, called in a forked process that never outlives this call.

    Parameters
    ----------
    function : callable
        What it returns is pickled; it should be plain data that it has checked.
    seconds : float
        It is stopped after this time, and after as much time of a processor.
    megabytes : int
        Memory that it may take on top of what this process has.

    Raises
    ------
    InputError
        As ``function`` raised it.
    Failed
        Where ``function`` raised anything else, crashed, or went beyond a limit.
    """
    ours, theirs = connection.Pipe(duplex=False)
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        _serve(function, args, theirs, parent, seconds, megabytes)
    theirs.close()
    code = None
    try:
        if not ours.poll(seconds):
            raise Failed(f'it takes longer than {seconds:g} s')
        kind, value = pickle.loads(ours.recv_bytes())
    except EOFError:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        raise Failed(f'it takes longer than {seconds:g} s' if code == -signal.SIGXCPU else
                     f'reading it ends in {signal.Signals(-code).name if code < 0 else f"exit code {code}"}') from None
    finally:
        ours.close()
        if code is None:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    if kind == 'memory':
        raise Failed(f'it takes more than {megabytes} MB of memory')
    if kind == 'refused':
        raise InputError(value)
    if kind == 'failed':
        raise Failed(value)
    return value


def end_with_parent(parent):
    """Called in a forked process: it is killed when the process ``parent`` ends, however that ends."""
    if sys.platform == 'linux':
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _serve(function, args, pipe, parent, seconds, megabytes):
    """The life of the child, which never returns to what its parent was doing."""
    try:
        end_with_parent(parent)
        signal.signal(signal.SIGINT, signal.SIG_IGN)        # Ctrl-C reaches the parent, which ends us
        for fatal in FATAL:     # neither mxnet's report nor Python's, nor what a trainer does when it is stopped
            signal.signal(fatal, signal.SIG_DFL)
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_CPU, int(seconds) + 1)
        if sys.platform == 'linux':
            pages = int(Path('/proc/self/statm').read_text().split()[0])
            _limit(resource.RLIMIT_AS, pages * resource.getpagesize() + (megabytes << 20))
        pipe.send_bytes(_outcome(function, args))
        os._exit(0)
    finally:
        os._exit(1)


def _limit(which, value):
    soft, hard = resource.getrlimit(which)
    lowest = min([value, *(each for each in (soft, hard) if each != resource.RLIM_INFINITY)])
    resource.setrlimit(which, (lowest, hard))


def _outcome(function, args):
    try:
        return pickle.dumps(('done', function(*args)))
    except MemoryError:
        return pickle.dumps(('memory', None))
    except InputError as error:
        return pickle.dumps(('refused', str(error)))
    except Exception as error:      # a reader raises whatever the bytes lead it to
        return pickle.dumps(('failed', one_line(f'{type(error).__name__}: {error}')))
