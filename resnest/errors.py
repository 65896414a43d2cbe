"""The errors that a user can put right, and the way a command ends on them."""
import contextlib
import faulthandler
import functools
import os
import select
import signal
import sys
import time

from resnest import launchers

__all__ = ['EXIT_AGAIN', 'InputError', 'StartAgain', 'MissingPackage', 'SharedError', 'run_command',
           'tell_of_crashes']

EXIT_AGAIN = 75     # EX_TEMPFAIL of sysexits.h: a scheduler starts the same command again


class InputError(ValueError):
    """Bad input: the message names the file, record or option and the remedy, in a line or two."""


class SharedError(InputError):
    """Bad input that every process of a job finds at once: the first one's message will do."""


class StartAgain(InputError):
    """Nothing is wrong with the command, which may be started again: another rank of the job has gone or has not come,
    or a scheduler wants the machine."""


class MissingPackage(ImportError):
    """A package or library is missing: the message names it and the command that installs it."""


def run_command(main, *args, **kwargs):
    """Call ``main(*args, **kwargs)`` and end the process as a command should.

    Exit code 0, or the integer that ``main`` returns, on success; 2 with one line on stderr for an
    :class:`InputError`, a :class:`MissingPackage` or a file that the system refuses; 75 for a
    :class:`StartAgain`; 130 when interrupted; 141 when the reader of the output has gone. Any other
    exception is a defect and keeps its traceback.
    """
    if hasattr(sys.stdout, 'reconfigure'):      # a name that the terminal cannot show must not end the command
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        code = main(*args, **kwargs)
        sys.stdout.flush()
    except (InputError, MissingPackage) as error:
        if isinstance(error, SharedError) and launchers.rank():
            time.sleep(1)       # rank 0 has the word; a launcher stops all when the first one leaves
        else:
            print(f'error: {error}', file=sys.stderr)
        code = EXIT_AGAIN if isinstance(error, StartAgain) else 2
    except BrokenPipeError:
        if not _reader_has_gone(sys.stdout):
            raise       # the pipe was another one: to a worker, to another rank
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())     # or Python complains once more at exit
        code = 141
    except OSError as error:
        if error.filename is None:
            raise
        print(f'error: {error.filename}: {error.strerror}', file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        code = 130
    if code and launchers.started_by_launcher():
        # mxnet's and Horovod's own end of a process would bury the message while other ranks are still there.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code or 0)


def _reader_has_gone(stream):
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


@functools.cache
def tell_of_crashes():
    """Have a crash in C++ tell what each thread was doing; to be called after mxnet is imported.

    mxnet's own handler tells nothing, and leaves by ``exit()``, which Horovod's thread turns into an abort.
    """
    faulthandler.disable()              # what was enabled before mxnet came has been replaced by mxnet's
    with contextlib.suppress(ValueError):       # not in the main thread
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
    with contextlib.suppress(OSError):          # stderr is closed: nobody reads it
        faulthandler.enable(os.dup(2))      # stderr itself may be held back
