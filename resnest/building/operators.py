"""Compile the native operators: ``python -m resnest.building.operators``.

As ``python -m resnest.gluon.nn.native``, which imports MXNet, does it; here ``mxnet-cu112`` without a driver has the
stub of one meanwhile. A notice and exit code 1 where it fails, one line and 2 where MXNet cannot be imported.
"""
import os
import subprocess
import sys
import tempfile

from resnest.cuda import installed
from resnest.errors import InputError, MissingPackage

from .compilers import find_compilers
from .toolkit import driver_variables

__all__ = ['main']

# Not by -m, which imports MXNet before a line of it can tell what is wrong.
COMPILE = '''
from resnest.errors import run_command

def compile_all():
    from resnest.gluon.nn.native.__main__ import main
    main()

run_command(compile_all)
'''


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = dict(os.environ)
        try:
            if installed('mxnet-cu112'):
                settings.update(driver_variables(folder, find_compilers()[0]))
        except (InputError, MissingPackage) as error:
            sys.exit(f'notice: {error}; the networks run in pure Gluon')
        return subprocess.run([sys.executable, '-c', COMPILE], env=settings, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
