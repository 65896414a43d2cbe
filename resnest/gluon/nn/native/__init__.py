"""The optional C++ operators for the CPU, compiled here and loaded as mxnet libraries.

``split_attention`` (split_attention.cc) serves float32 networks in training and inference, ``split_attention_int8``
the networks that :func:`resnest.gluon.inference.int8.quantization` makes.

``python -m resnest.gluon.nn.native`` compiles them, which ``make setup`` does. Everything works without them: a
network uses them only after :func:`use_native`, and ``RESNEST_NATIVE=0`` in the environment turns them off.
mxnet's extension interface: https://mxnet.apache.org/versions/1.9.1/api/python/docs/tutorials/extend/index.html
"""
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np

from resnest.errors import InputError, MissingPackage
from resnest.gluon.mxnet_private import forget_trace, has_values, register_operators

from ..split_attention import SplitAttentionConv

__all__ = ['LIBRARIES', 'available', 'build', 'library', 'load', 'needed', 'use_native']

FOLDER = Path(__file__).parent
# -Bsymbolic: Horovod's library has other versions of the same C++ symbols, which would come first.
FLAGS = ('-O3', '-march=native', '-fopenmp', '-shared', '-fPIC', '-std=c++17', '-Wl,-Bsymbolic')
# The int8 operator uses mxnet's own headers: with the settings and the string type of the wheel.
# -z now: an mxnet that lacks one of the functions is refused when loading, instead of ending the process later.
MXNET_FLAGS = ('-D_GLIBCXX_USE_CXX11_ABI=0', '-DMXNET_USE_MKLDNN=1', '-DMXNET_USE_CUDA=0', '-DMSHADOW_USE_CUDA=0',
               '-DMSHADOW_USE_MKL=0', '-DMSHADOW_USE_CBLAS=0', '-DMSHADOW_USE_F16C=0', '-DDMLC_LOG_STACK_TRACE=0',
               '-Wl,-z,now')
# Library → its operators and the flags that it needs beside FLAGS.
LIBRARIES = {'split_attention': (('split_attention_sum', 'split_attention_pool'), ()),
             'split_attention_int8': (('split_attention_int8',), MXNET_FLAGS)}
_loaded, _failed = set(), {}        # the file that could not be built or loaded is not tried again


def library(name='split_attention'):
    """Path of a compiled library: its name holds a hash of source, flags, mxnet's version and the CPU's features.

    It lies in ``RESNEST_CACHE`` or ``~/.cache/resnest``.
    """
    folder = Path(os.environ.get('RESNEST_CACHE') or Path.home() / '.cache' / 'resnest')
    digest = hashlib.sha256(b''.join(path.read_bytes() for path in sorted(FOLDER.glob(f'{name}.*'))))
    for part in (mx.__version__, *FLAGS, *LIBRARIES[name][1], *_cpu_features()):
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

    The compiler is ``$CXX`` or ``g++``. Processes may build at the same time: each compiles into a file of its own
    and renames it. Raises MissingPackage without a compiler, InputError where it fails.
    """
    path = library(name)
    if path.exists():
        return path
    compiler = shutil.which(os.environ.get('CXX') or 'g++')
    if compiler is None:
        raise MissingPackage('no C++ compiler for the native operators: apt-get install g++')
    package = Path(mx.__file__).parent
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='build-', dir=path.parent) as folder:
        made = Path(folder, path.name)
        sources = [str(FOLDER / f'{name}.cc'), str(package / 'src' / 'lib_api.cc')]
        if LIBRARIES[name][1]:
            sources += [f"-I{package / 'include' / 'mkldnn'}", '-ldl', str(package / 'libmxnet.so')]
        done = subprocess.run([compiler, *FLAGS, *LIBRARIES[name][1], f"-I{package / 'include'}", *sources,
                               '-o', str(made)], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = next((line for line in done.stderr.splitlines() if 'error' in line), f'exit {done.returncode}')
            raise InputError(f'{compiler} cannot compile {name}.cc: {reason}')
        os.replace(made, path)
    return path


def load(compiling=True, name='split_attention'):
    """Load a library into mxnet, once per process, and say whether ``mx.nd`` and ``mx.sym`` have its operators.

    Parameters
    ----------
    compiling : bool
        Whether to compile it first (some ten seconds) where :func:`library` is not there yet.
    name : str
        'split_attention' or 'split_attention_int8'.

    Returns False with ``RESNEST_NATIVE=0`` in the environment and without a compiler; also, with a warning, where
    compiling or loading fails.
    """
    if os.environ.get('RESNEST_NATIVE') == '0':
        return False
    if name in _loaded:
        return True
    path = library(name)
    if _failed.get(name) == path or not (compiling or path.exists()):
        return False
    try:
        register_operators(build(name), LIBRARIES[name][0])
    except MissingPackage:
        _failed[name] = path
    except (InputError, OSError, mx.MXNetError) as error:
        _failed[name] = path
        warnings.warn(f'without the native operators: {str(error).strip().splitlines()[-1]}', stacklevel=2)
    else:
        _loaded.add(name)
    return name in _loaded


def available():
    """Whether the operators for float32 are compiled and can be used; loads them, compiles nothing."""
    return load(compiling=False)


def needed(symbol):
    """The libraries that a symbol needs, given as its JSON: what to :func:`load` before it is read."""
    return [name for name, (operators, _) in LIBRARIES.items()
            if any(f'"op": "{operator}"' in symbol for operator in operators)]


def use_native(net, native=True):
    """Have every :class:`SplitAttentionConv` in ``net`` use the native operators, or the pure Gluon path again.

    They serve float32 on CPUs: a network with other parameters keeps the pure path, and one that is cast to another
    dtype goes back to it. Turn them off before moving a network to a GPU, and before exporting it for a process that
    does not call :func:`load`. Call it on the outermost block that is hybridized: it is traced again.

    Returns whether ``net`` now uses them; False where :func:`load` cannot load them.
    """
    native = native and all(_suits(param) for param in net.collect_params().values()) and load()

    def visit(block):
        if isinstance(block, SplitAttentionConv):
            block.native = native

    net.apply(visit)
    forget_trace(net)
    return native


def _suits(param):
    if np.dtype(param.dtype) != np.float32:
        return False
    return not has_values(param) or all(ctx.device_type == 'cpu' for ctx in param.list_ctx())
