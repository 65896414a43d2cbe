"""What comes from outside: a request to stop, and another run in the same folder."""
import contextlib
import os
import signal
import threading
from pathlib import Path

from resnest.errors import InputError
from resnest.locks import Held, lock_file

__all__ = ['EXIT_AGAIN', 'StopRequest', 'Stopped', 'sole_run']

EXIT_AGAIN = 75     # EX_TEMPFAIL of sysexits.h: a scheduler starts the same command again


class Stopped(Exception):
    """What can be left half done was left, since a stop was asked for."""


class StopRequest:
    """In its context SIGTERM sets :attr:`made` instead of ending the process; in the main thread only."""

    def __init__(self):
        self.made = False

    def __enter__(self):
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGTERM, lambda *_: setattr(self, 'made', True))
        return self

    def check(self):
        """Raise :class:`Stopped` where a stop was asked for."""
        if self.made:
            raise Stopped

    def __exit__(self, *_):
        if self._main:
            signal.signal(signal.SIGTERM, self._before)


@contextlib.contextmanager
def sole_run(folder, option='--save-dir'):
    """Make ``folder`` and hold it: a second run there gets an InputError that names ``option``.

    The lock ends with the process. A folder in which nothing was written goes away at the end.
    """
    folder = Path(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(lock_file(folder / '.lock', remove=lambda _: os.listdir(folder) == ['.lock']))
            except Held:
                raise InputError(f'{folder}: another run writes there now; use another {option}, or wait for its '
                                 f'end') from None
            except OSError as error:
                raise InputError(f'{folder}: cannot be written to ({error.strerror}); use another {option}') from None
            yield
    finally:
        if new and folder.is_dir() and not os.listdir(folder):
            for path in new:
                with contextlib.suppress(OSError):
                    path.rmdir()
