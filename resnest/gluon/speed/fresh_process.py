"""Programs that run in a process of their own, so that what they are timed for is theirs alone."""
import subprocess
import sys

from resnest.errors import InputError

__all__ = ['run_fresh']


def run_fresh(what, *words, env=None):
    """What a fresh Python with the arguments ``words`` prints.

    Raises InputError, ``what`` and the last line of its errors, where it fails.
    """
    done = subprocess.run([sys.executable, '-W', 'ignore', *map(str, words)], env=env, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ['no message'])[-1]
        raise InputError(f"{what}: {said.removeprefix('error: ')}")
    return done.stdout
