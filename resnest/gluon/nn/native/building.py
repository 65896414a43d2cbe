"""Compiling the native operators, each library once for a source, a compiler and its settings, an mxnet and a CPU."""
import hashlib
import os
import platform
import re
import shlex
import subprocess
import tempfile
from pathlib import Path

import mxnet as mx

from resnest.building.compilers import find_compilers
from resnest.errors import InputError

__all__ = ['LIBRARIES', 'build', 'library']

# Library → its operators; without any, it has a function of its own name.
LIBRARIES = {'split_attention': ('split_attention_sum', 'split_attention_pool'),
             'split_attention_float': ('split_attention_float',), 'split_attention_int8': ('split_attention_int8',),
             'add_relu': ('add_relu', 'add_relu_gradient'),
             'masked_map': ('masked_map', 'ones_of_map'), 'resize_map': ('resize_map',),
             'map_cross_entropy': ('map_cross_entropy',),
             'winograd_convolution': ('winograd_convolution',), 'winograd_training': ('winograd_training',),
             'deformable_convolution': ('deformable_convolution',), 'roi_align': ('roi_align',),
             'colour_matrix': (),
             'sync_batch_norm': ('sync_norm_sums', 'sync_norm_apply', 'sync_norm_grad_sums', 'sync_norm_grad')}
FOLDER = Path(__file__).parent
MXNET = Path(mx.__file__).parent
# -Bsymbolic: Horovod's library has other versions of the same C++ symbols, which would come first.
# -z now: an mxnet that lacks one of the functions is refused when loading, instead of ending the process later.
# The definitions are the settings and the string type of mxnet's wheel, whose own headers are used.
FLAGS = ('-O3', '-march=native', '-fopenmp', '-shared', '-fPIC', '-std=c++17', '-Wl,-Bsymbolic', '-Wl,-z,now',
         '-D_GLIBCXX_USE_CXX11_ABI=0', '-DMXNET_USE_MKLDNN=1', '-DMXNET_USE_CUDA=0', '-DMSHADOW_USE_CUDA=0',
         '-DMSHADOW_USE_MKL=0', '-DMSHADOW_USE_CBLAS=0', '-DMSHADOW_USE_F16C=0', '-DDMLC_LOG_STACK_TRACE=0')


def library(name='split_attention'):
    """Path of a compiled library: its name holds a hash of source, flags, compiler, mxnet and the CPU's features.

    It lies in ``RESNEST_CACHE`` or ``~/.cache/resnest``. The compiler is what ``$CXX`` says, which need not be there
    any more; mxnet is its version, its ``lib_api.cc``, and the size of its library, which is another one for GPUs.
    """
    folder = Path(os.environ.get('RESNEST_CACHE') or Path.home() / '.cache' / 'resnest')
    sources = [FOLDER / f'{name}.cc', *sorted(FOLDER.glob('*.h')), MXNET / 'src' / 'lib_api.cc']
    digest = hashlib.sha256(b''.join(path.read_bytes() for path in sources))
    size = (MXNET / 'libmxnet.so').stat().st_size
    for part in (mx.__version__, str(size), os.environ.get('CXX') or 'g++', *FLAGS, *_cpu_features()):
        digest.update(b'\0' + part.encode())
    return folder.absolute() / f'{name}-{digest.hexdigest()[:16]}.so'


def _cpu_features():
    try:
        found = re.search(r'^flags\s*:(.*)$', Path('/proc/cpuinfo').read_text(), re.MULTILINE)
    except OSError:
        found = None
    return sorted(found[1].split()) if found else [platform.machine(), platform.processor(), platform.node()]


def build(name='split_attention'):
    """Compile a library, unless :func:`library` is there, and return its path.

    The compiler is the first of :func:`resnest.building.compilers.find_compilers`. Processes may build at the same
    time: each compiles into a file of its own and renames it. Raises MissingPackage without a compiler, InputError
    where it fails.
    """
    path = library(name)
    if path.exists():
        return path
    compiler = find_compilers()[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='build-', dir=path.parent) as folder:
        made = Path(folder, path.name)
        done = subprocess.run([*compiler, *FLAGS, f"-I{MXNET / 'include'}", f"-I{MXNET / 'include' / 'mkldnn'}",
                               str(FOLDER / f'{name}.cc'), str(MXNET / 'src' / 'lib_api.cc'), '-ldl',
                               str(MXNET / 'libmxnet.so'), '-o', str(made)],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if 'error' in line), f'exit {done.returncode}')
            raise InputError(f'{shlex.join(compiler)} cannot compile {name}.cc: {reason}')
        os.replace(made, path)
    return path
