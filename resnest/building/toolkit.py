"""What Horovod's build needs for ``mxnet-cu112``: nvcc of CUDA 11, a compiler that it takes, NCCL, a driver to link.

NCCL comes from PyPI's wheel (``nvidia/nccl``, whose library has no name that a linker looks for). nvcc is on no
registry of Python packages: NVIDIA's toolkit or the image ``nvidia/cuda:11.8.0-devel-ubuntu22.04`` has it.
"""
import ctypes
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from resnest.errors import InputError, MissingPackage

__all__ = ['cuda_environment', 'find_compiler', 'find_nvcc']

DRIVER = Path(__file__).parent / 'driver.c'
RELEASES = range(2, 9)      # CUDA 11.2, which mxnet-cu112 was built with, to 11.8, whose libraries it runs with here
CAPABILITIES = '50,60,70,75,80,86'
COMPILERS = ('g++', 'g++-11', 'g++-10', 'g++-9')


def find_nvcc():
    """The folder of the toolkit, ``bin/nvcc`` in it. Raises InputError where none is of CUDA 11.2 to 11.8."""
    named, on_path = os.environ.get('HOROVOD_CUDA_HOME') or os.environ.get('CUDA_HOME'), shutil.which('nvcc')
    homes = [Path(named)] if named else [*([Path(on_path).resolve().parent.parent] if on_path else []),
                                         *sorted(Path('/usr/local').glob('cuda*'), reverse=True)]
    others = []
    for home in homes:
        release = _release(home / 'bin/nvcc')
        if release and release[0] == 11 and release[1] in RELEASES:
            return home
        if release:
            others.append('{}.{} in {}'.format(*release, home))
    found = f'; found {", ".join(dict.fromkeys(others))}' if others else ''
    raise InputError(f"Horovod with NCCL needs nvcc of CUDA 11.2 to 11.8, best 11.8{found}: install NVIDIA's CUDA "
                     f'toolkit 11.8 and name its folder in HOROVOD_CUDA_HOME, or take the Dockerfile')


def _release(nvcc):
    try:
        said = subprocess.run([nvcc, '--version'], capture_output=True, text=True, timeout=60, check=False).stdout
    except OSError:
        return None
    found = re.search(r'release (\d+)\.(\d+)', said)
    return found and (int(found[1]), int(found[2]))


def find_compiler(home, folder):
    """The first C++ compiler that the nvcc of ``home`` compiles with: nvcc 11.8 refuses g++ 12 and newer.

    ``CXX`` alone is tried where it is set. ``folder`` is for what the trial writes. Raises MissingPackage.
    """
    source = Path(folder, 'trial.cu')
    source.write_text('#include <cuda_fp16.h>\n__global__ void nothing() {}\n')
    candidates = [os.environ['CXX']] if os.environ.get('CXX') else list(filter(shutil.which, COMPILERS))
    said = ''
    for compiler in candidates:
        command = [Path(home, 'bin/nvcc'), '-ccbin', compiler, '-c', '-o', Path(folder, 'trial.o'), source]
        trial = subprocess.run(command, capture_output=True, text=True, check=False)
        if trial.returncode == 0:
            return compiler
        said = f' ({(trial.stderr.strip().splitlines() or ["no message"])[0]})'
    raise MissingPackage(f'the nvcc of {home} takes none of the C++ compilers here{said}: apt-get install g++-11')


def cuda_environment(folder):
    """The variables for a build with NCCL; ``folder`` is for the links and stubs that it needs until it is over.

    Raises InputError or MissingPackage that says what to install.
    """
    nccl = next((path for entry in sys.path for path in [Path(entry or '.', 'nvidia/nccl').absolute()]
                 if (path / 'lib/libnccl.so.2').exists() and (path / 'include/nccl.h').exists()), None)
    if nccl is None:
        raise MissingPackage('NCCL is not installed: pip install nvidia-nccl-cu11==2.21.5')
    home = find_nvcc()
    compiler, linked = find_compiler(home, folder), Path(folder, 'nccl')
    linked.mkdir()
    (linked / 'libnccl.so').symlink_to(nccl / 'lib/libnccl.so.2')
    found = {'HOROVOD_GPU_OPERATIONS': 'NCCL', 'HOROVOD_CUDA_HOME': str(home), 'CXX': compiler,
             'HOROVOD_NCCL_INCLUDE': str(nccl / 'include'), 'HOROVOD_NCCL_LIB': str(linked),
             'HOROVOD_NCCL_LINK': 'SHARED', 'HOROVOD_BUILD_CUDA_CC_LIST': CAPABILITIES,
             'LDFLAGS': f'-Wl,-rpath,{nccl / "lib"}', 'PATH': f'{home / "bin"}{os.pathsep}{os.environ["PATH"]}'}
    if not _has_driver():       # a login node, an image that is being built; Horovod's build imports mxnet
        make_driver(folder, compiler)
        found['LD_LIBRARY_PATH'] = os.pathsep.join(filter(None, [str(folder), os.environ.get('LD_LIBRARY_PATH')]))
    return found


def _has_driver():
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True


def make_driver(folder, compiler):
    """Compile ``libcuda.so.1`` into ``folder``: a driver without a GPU."""
    subprocess.run([compiler, '-x', 'c', '-shared', '-fPIC', '-o', str(Path(folder, 'libcuda.so.1')), str(DRIVER)],
                   check=True)
