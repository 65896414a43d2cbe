"""What Horovod's build needs for ``mxnet-cu112``: nvcc of CUDA 11, a compiler that it takes, NCCL, a driver to link.

NCCL comes from PyPI's wheel (``nvidia/nccl``, whose library has no name that a linker looks for). nvcc is on no
registry of Python packages: NVIDIA's toolkit or the image ``nvidia/cuda:11.8.0-devel-ubuntu22.04`` has it.
"""
import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from resnest.errors import InputError, MissingPackage

from .compilers import find_compilers

__all__ = ['cuda_environment', 'driver_variables', 'find_nvcc', 'host_compiler']

DRIVER = Path(__file__).parent / 'driver.c'
RELEASES = range(2, 9)      # CUDA 11.2, which mxnet-cu112 was built with, to 11.8, whose libraries it runs with here
CAPABILITIES = '50,60,70,75,80,86'
PATIENCE = 120      # seconds: a compiler on a slow file system starts; one that hangs ends


def find_nvcc():
    """The folder of the toolkit, ``bin/nvcc`` in it. Raises InputError where none is of CUDA 11.2 to 11.8."""
    named, on_path = os.environ.get('HOROVOD_CUDA_HOME') or os.environ.get('CUDA_HOME'), shutil.which('nvcc')
    homes = [Path(named)] if named else [*([Path(on_path).resolve().parent.parent] if on_path else []),
                                         *sorted(Path('/usr/local').glob('cuda*'), reverse=True)]
    others = []
    for home in homes:
        try:
            release = _release(home / 'bin/nvcc')
        except subprocess.TimeoutExpired:
            others.append(f'one that gives no answer in {home}')
            continue
        if release and release[0] == 11 and release[1] in RELEASES:
            return home
        if release:
            others.append('{}.{} in {}'.format(*release, home))
        elif named:
            others.append(f'no bin/nvcc that runs in {home}')
    found = f'; found {", ".join(dict.fromkeys(others))}' if others else ''
    raise InputError(f"Horovod with NCCL needs nvcc of CUDA 11.2 to 11.8, best 11.8{found}: install NVIDIA's CUDA "
                     f'toolkit 11.8 and name its folder in HOROVOD_CUDA_HOME, or take the Dockerfile')


def _release(nvcc):
    try:
        said = subprocess.run([nvcc, '--version'], capture_output=True, text=True, timeout=PATIENCE, check=False).stdout
    except OSError:
        return None
    found = re.search(r'release (\d+)\.(\d+)', said)
    return found and (int(found[1]), int(found[2]))


def host_compiler(home, folder):
    """The first C++ compiler that the nvcc of ``home`` compiles with, as words: nvcc 11.8 refuses g++ 12 and newer.

    A launcher before it, such as ccache, is left out: nvcc takes the compiler alone. ``folder`` is for what the trial
    writes. Raises MissingPackage.
    """
    source = Path(folder, 'trial.cu')
    source.write_text('#include <cuda_fp16.h>\n__global__ void nothing() {}\n')
    said = ''
    for words in find_compilers():
        words = words[1:] if words[1:] and not words[1].startswith('-') else words
        command = [Path(home, 'bin/nvcc'), '-ccbin', words[0], '-c', '-o', Path(folder, 'trial.o'), source]
        code, answer = _run(command)
        if code == 0:
            return words
        said = f' ({answer})'
    raise MissingPackage(f'the nvcc of {home} takes none of the C++ compilers here{said}: apt-get install g++-11')


def _run(command):
    """The exit code, None where it did not end in time, and the first line of what the command said of its failure."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return None, f'not done after {PATIENCE} seconds'
    return done.returncode, (done.stderr.strip().splitlines() or ['no message'])[0]


def cuda_environment(folder):
    """The variables for a build with NCCL; ``folder`` is for the links and stubs that it needs until it is over.

    Raises InputError or MissingPackage that says what to install.
    """
    nccl = next((path for entry in sys.path for path in [Path(entry or '.', 'nvidia/nccl').absolute()]
                 if (path / 'lib/libnccl.so.2').exists() and (path / 'include/nccl.h').exists()), None)
    if nccl is None:
        raise MissingPackage('NCCL is not installed: pip install nvidia-nccl-cu11==2.21.5')
    home = find_nvcc()
    compiler, linked = host_compiler(home, folder), Path(folder, 'nccl')
    linked.mkdir()
    (linked / 'libnccl.so').symlink_to(nccl / 'lib/libnccl.so.2')
    options = [os.environ.get('LDFLAGS'), f'-Wl,-rpath,{nccl / "lib"}']
    return {'HOROVOD_GPU_OPERATIONS': 'NCCL', 'HOROVOD_CUDA_HOME': str(home), 'CXX': shlex.join(compiler),
            'HOROVOD_NCCL_INCLUDE': str(nccl / 'include'), 'HOROVOD_NCCL_LIB': str(linked),
            'HOROVOD_NCCL_LINK': 'SHARED', 'HOROVOD_BUILD_CUDA_CC_LIST': CAPABILITIES,
            'LDFLAGS': ' '.join(filter(None, options)), 'PATH': f'{home / "bin"}{os.pathsep}{os.environ["PATH"]}',
            **driver_variables(folder, compiler)}


def driver_variables(folder, compiler):
    """The variables for a process that imports ``mxnet-cu112``: none where there is a driver; otherwise, as on a login
    node or in an image that is being built, those that lead it to a stub of one, which is compiled into ``folder``.

    Raises InputError where ``compiler``, a list of words, cannot compile it.
    """
    if _has_driver():
        return {}
    make_driver(folder, compiler)
    return {'LD_LIBRARY_PATH': os.pathsep.join(filter(None, [str(folder), os.environ.get('LD_LIBRARY_PATH')]))}


def _has_driver():
    try:
        ctypes.CDLL('libcuda.so.1')
    except OSError:
        return False
    return True


def make_driver(folder, compiler):
    """Compile ``libcuda.so.1`` into ``folder``: a driver without a GPU."""
    code, answer = _run([*compiler, '-x', 'c', '-shared', '-fPIC', '-o', str(Path(folder, 'libcuda.so.1')),
                         str(DRIVER)])
    if code != 0:
        raise InputError(f'{shlex.join(compiler)} cannot compile a stub of the NVIDIA driver ({answer}): '
                         'name another compiler in CXX, or install the driver')
