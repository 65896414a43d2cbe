"""Code run in fresh processes, for what can only be seen there."""
import os
import subprocess
import sys
import textwrap
from pathlib import Path

from resnest import launchers

ROOT = Path(__file__).resolve().parent.parent
CLEAN = ('OMP_NUM_THREADS', 'RESNEST_NUM_THREADS', *launchers.VARIABLES)


def python(code, *options, path=(), **environ):
    """Run code in a fresh process and return its output; ``path`` is searched before site-packages."""
    env = {key: value for key, value in os.environ.items() if key not in CLEAN}
    env.update(environ, PYTHONPATH=os.pathsep.join(map(str, [*path, ROOT])))
    result = subprocess.run([sys.executable, *options, '-c', textwrap.dedent(code)], env=env,
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def write(path, text=''):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
