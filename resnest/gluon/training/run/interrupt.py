"""What comes from outside: a request to stop, and another run in the same folder."""
import contextlib
import os
import platform
import signal
import threading
import time
from pathlib import Path

from resnest.errors import EXIT_AGAIN, InputError
from resnest.locks import LEASE, Held, holder_of, lock_file, sign

__all__ = ['StopRequest', 'Stopped', 'sole_run']

EXIT_INTERRUPTED = 130
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class Stopped(Exception):
    """What can be left half done was left, since a stop was asked for."""


class StopRequest:
    """In its context SIGTERM, SIGUSR1 and Ctrl-C set :attr:`made` instead of ending the process; in the main thread
    only. A second Ctrl-C ends it.

    After ``minutes``, if any, :attr:`made` is set as well, so much earlier that a checkpoint can be written: by twice
    the time that the longest took (:meth:`note_saving`), and by at least a tenth of the minutes or half a minute.
    """

    def __init__(self, minutes=None):
        self.exit_code, self.why = EXIT_AGAIN, 'on request'
        self._asked = False
        self._end = minutes and time.monotonic() + 60 * minutes
        self._reserve = min(30, 6 * (minutes or 0))

    @property
    def made(self):
        """Whether a stop was asked for."""
        if not self._asked and self._end and time.monotonic() > self._end - self._reserve:
            self._asked, self.why = True, 'by --time-limit'
        return self._asked

    def note_saving(self, seconds):
        """Take note of how long a checkpoint took."""
        self._reserve = max(self._reserve, 2 * seconds)

    def __enter__(self):
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            # What is ignored, as Ctrl-C is by a background process of a shell, stays so.
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS
                            if signal.getsignal(number) != signal.SIG_IGN}
        return self

    def _ask(self, number, _):
        self._asked = True
        if number == signal.SIGINT:
            self.exit_code = EXIT_INTERRUPTED
            signal.signal(number, signal.default_int_handler)
            os.write(2, b'\ninterrupted: saving a checkpoint; Ctrl-C once more ends at once\n')

    def check(self):
        """Raise :class:`Stopped` where a stop was asked for."""
        if self.made:
            raise Stopped

    def __exit__(self, *_):
        for number, before in self._before.items():
            signal.signal(number, before)


@contextlib.contextmanager
def sole_run(folder, option='--save-dir'):
    """Make ``folder`` and hold it: a second run there gets an InputError that names ``option``.

    The lock ends with the process. One that another machine holds is waited for, as long as the lease of a machine that
    has died may last. A folder in which nothing was written goes away at the end.
    """
    folder = Path(folder)
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        with contextlib.ExitStack() as stack:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _lock(stack, folder)
            except Held:
                raise InputError(f'{folder}: another run writes there now ({holder_of(folder / ".lock").told}); use '
                                 f'another {option}, or wait for its end') from None
            except OSError as error:
                raise InputError(f'{folder}: cannot be written to ({error.strerror}); use another {option}') from None
            yield
    finally:
        if new and folder.is_dir() and not os.listdir(folder):
            for path in new:
                with contextlib.suppress(OSError):
                    path.rmdir()


def _lock(stack, folder):
    path = folder / '.lock'

    def lock(wait):
        sign(stack.enter_context(lock_file(path, wait, lambda _: os.listdir(folder) == ['.lock'])))

    try:
        lock(0)
    except Held:
        holder = holder_of(path)
        if holder.host in ('', platform.node()):        # where it would have ended with its process
            raise
        print(f'{folder}: {holder.told} writes there; waiting {LEASE} s, in case it has died', flush=True)
        lock(LEASE)
