"""Programs that run in a process of their own, so that what they are timed for is theirs alone."""
import subprocess
import sys

from resnest.errors import InputError

__all__ = ['run_fresh']


def run_fresh(what, *words, env=None, python=None):
    """What a fresh ``python``, this one unless given, with the arguments ``words`` prints.

    Raises InputError, ``what`` and the last line of its errors, where it fails, OSError where it cannot be started.
    """
    command = [str(python or sys.executable), '-W', 'ignore', *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise InputError(f"{what}: {said.removeprefix('error: ')}")
    return done.stdout
