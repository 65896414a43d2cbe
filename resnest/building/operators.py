"""Compile the native operators: ``python -m resnest.building.operators``.

As ``python -m resnest.gluon.nn.native``, which imports MXNet, does it; here ``mxnet-cu112`` without a driver has the
stub of one meanwhile. A notice and exit code 1 where it fails.
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


def main():
    with tempfile.TemporaryDirectory() as folder:
        settings = dict(os.environ)
        try:
            if installed('mxnet-cu112'):
                settings.update(driver_variables(folder, find_compilers()[0]))
        except (InputError, MissingPackage) as error:
            sys.exit(f'notice: {error}; the networks run in pure Gluon')
        return subprocess.run([sys.executable, '-m', 'resnest.gluon.nn.native'], env=settings, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
