"""Build Horovod for the installed MXNet: with Gloo, and for mxnet-cu112 with NCCL too (nvcc 11 is needed).

Takes 1 to 3 minutes, and a C++ compiler and make. Exit code 2 where something must be mended first, the network
included, and 1 where the build itself failed.
"""
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from resnest.arguments import Parser, plain_path
from resnest.cuda import installed
from resnest.errors import InputError, run_command
from resnest.files import require_writable_folder

from .compilers import find_compilers
from .toolkit import cuda_environment

TOOLS = ('cmake>=3.13,<4', 'setuptools', 'wheel', 'cloudpickle', 'psutil', 'pyyaml', 'packaging')
HOROVOD = 'horovod==0.28.1'
SETTINGS = {'HOROVOD_WITH_MXNET': '1', 'HOROVOD_WITHOUT_PYTORCH': '1', 'HOROVOD_WITHOUT_TENSORFLOW': '1',
            'HOROVOD_WITH_GLOO': '1', 'HOROVOD_WITHOUT_MPI': '1'}


def main():
    parser = Parser(prog='python -m resnest.building', description=__doc__)
    parser.add_argument('--wheel-dir', type=plain_path, metavar='FOLDER',
                        help='write a wheel there instead of installing')
    args = parser.parse_args()
    if args.wheel_dir:
        require_writable_folder(args.wheel_dir, '--wheel-dir')
    with tempfile.TemporaryDirectory() as folder:
        settings = {**os.environ, **_compilers(), **SETTINGS, 'MAKEFLAGS': f'-j{len(os.sched_getaffinity(0))}'}
        if installed('mxnet-cu112'):
            settings.update(cuda_environment(folder))
        # cmake, as pip installs it, is beside this Python
        settings['PATH'] = os.pathsep.join([str(Path(sys.executable).parent), settings['PATH']])
        if _pip(settings, 'install', *TOOLS):
            raise InputError('the tools of the build cannot be installed: what pip printed says why')
        way = ('wheel', '--wheel-dir', str(args.wheel_dir)) if args.wheel_dir else ('install', '--force-reinstall')
        if _pip(settings, *way, '-v', '--no-build-isolation', '--no-cache-dir', '--no-deps', HOROVOD):
            sys.exit(f'error: pip {way[0]} {HOROVOD} failed: what it printed says why')
        # Here, where a machine without a driver has the stub.
        check = [sys.executable, '-c', 'import horovod.mxnet']
        if not args.wheel_dir and subprocess.run(check, env=settings, check=False).returncode:
            sys.exit('error: Horovod was built, but cannot be imported: what is printed above says why')


def _compilers():
    """The variables that name the compilers to CMake, which looks for ``g++`` and ``gcc`` alone."""
    words = find_compilers()[0]
    found = {'CXX': shlex.join(words)}
    if not (os.environ.get('CXX') or os.environ.get('CC')):
        found['CC'] = words[0].replace('g++', 'gcc')
    return found


def _pip(settings, *arguments):
    return subprocess.run([sys.executable, '-m', 'pip', *arguments], env=settings, check=False).returncode


if __name__ == '__main__':
    sys.exit(run_command(main))
