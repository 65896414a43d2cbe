"""Build Horovod for the installed MXNet: with Gloo, and for mxnet-cu112 with NCCL too (nvcc 11 is needed).

Takes 1 to 3 minutes, and a C++ compiler and make.
"""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from resnest.arguments import Parser
from resnest.cuda import installed
from resnest.errors import InputError, run_command

from .toolkit import cuda_environment

TOOLS = ('cmake>=3.13,<4', 'setuptools', 'wheel', 'cloudpickle', 'psutil', 'pyyaml', 'packaging')
HOROVOD = 'horovod==0.28.1'
SETTINGS = {'HOROVOD_WITH_MXNET': '1', 'HOROVOD_WITHOUT_PYTORCH': '1', 'HOROVOD_WITHOUT_TENSORFLOW': '1',
            'HOROVOD_WITH_GLOO': '1', 'HOROVOD_WITHOUT_MPI': '1'}


def main():
    parser = Parser(prog='python -m resnest.building', description=__doc__)
    parser.add_argument('--wheel-dir', metavar='FOLDER', help='write a wheel there instead of installing')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {**os.environ, **SETTINGS, 'MAKEFLAGS': f'-j{len(os.sched_getaffinity(0))}'}
        if installed('mxnet-cu112'):
            settings.update(cuda_environment(folder))
        # cmake, as pip installs it, is beside this Python
        settings['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), settings['PATH']])
        _pip(settings, 'install', *TOOLS)
        way = ('wheel', '--wheel-dir', args.wheel_dir) if args.wheel_dir else ('install', '--force-reinstall')
        _pip(settings, *way, '-v', '--no-build-isolation', '--no-cache-dir', '--no-deps', HOROVOD)
        # Here, where a machine without a driver has the stub.
        check = [sys.executable, '-c', 'import horovod.mxnet']
        if not args.wheel_dir and subprocess.run(check, env=settings, check=False).returncode:
            raise InputError('Horovod was built, but cannot be imported: what is printed above says why')


def _pip(settings, *arguments):
    command = [sys.executable, '-m', 'pip', *arguments]
    if subprocess.run(command, env=settings, check=False).returncode:
        raise InputError(f'pip {arguments[0]} {arguments[-1]} failed: what it printed says why')


if __name__ == '__main__':
    sys.exit(run_command(main))
