"""Prepares the process for mxnet 1.9.1, the last release, before ``import mxnet``.

* numpy's removed names, which mxnet still reads, are put back (:func:`restore_numpy_names`).
* The CUDA libraries of ``mxnet-cu112`` are loaded from their PyPI wheels (:mod:`resnest.cuda`).
* The number of threads is set to the physical cores at hand (:mod:`resnest.threads`).

The first two happen in any process that imports mxnet (:mod:`resnest._import_hook`), the third
where ``resnest.gluon`` is imported. Nothing here imports mxnet except :func:`import_mxnet`.
"""
import importlib
import sys
import warnings

from . import _import_hook
from .cuda import check_gpus, gpu_capabilities, installed, load_cuda_libraries
from .errors import MissingPackage
from .threads import local_ranks, set_threads, usable_cores

__all__ = ['prepare_import', 'import_mxnet', 'import_extra', 'restore_numpy_names', 'load_cuda_libraries',
           'installed', 'set_threads', 'usable_cores', 'local_ranks', 'gpu_capabilities', 'check_gpus']

FINANCIAL = ('fv', 'ipmt', 'irr', 'mirr', 'nper', 'npv', 'pmt', 'ppmt', 'pv', 'rate')


def prepare_import():
    """What ``import mxnet`` itself needs; called by the import hook in any process."""
    if sys.version_info >= (3, 12):
        try:
            import setuptools  # noqa: F401  (brings distutils, which left Python in 3.12)
        except ModuleNotFoundError:
            raise MissingPackage('mxnet needs distutils, which setuptools brings: pip install setuptools') from None
    # mxnet warns about its own use of distutils and of removed numpy functions; users cannot act on it.
    warnings.filterwarnings('ignore', category=DeprecationWarning, module=r'mxnet\.|gluoncv\.')
    restore_numpy_names()
    load_cuda_libraries()


def restore_numpy_names():
    """Put back the names that numpy has removed (from 1.20 to 2.x) and mxnet reads.

    Names that numpy still has are left alone. The financial functions, which mxnet only
    re-exports, become stand-ins that raise :class:`NotImplementedError` when called.
    """
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter('ignore')     # numpy warns about the names it is about to remove
        names = {
            'bool': bool, 'object': object, 'int': int, 'float': float, 'complex': complex, 'str': str,
            'NAN': np.nan, 'NaN': np.nan, 'PZERO': 0.0, 'NZERO': -0.0, 'NINF': -np.inf, 'PINF': np.inf,
            'Inf': np.inf, 'Infinity': np.inf, 'infty': np.inf,
            'float_': np.float64, 'complex_': np.complex128, 'unicode_': np.str_, 'string_': np.bytes_,
            'round_': np.round, 'product': np.prod, 'cumproduct': np.cumprod, 'alltrue': np.all,
            'sometrue': np.any, 'in1d': np.isin, 'row_stack': np.vstack, 'trapz': getattr(np, 'trapezoid', None),
            'asfarray': _asfarray, 'msort': _msort, **{name: _financial(name) for name in FINANCIAL}}
        for name, value in names.items():
            if not hasattr(np, name):
                setattr(np, name, value)


def _financial(name):
    def removed(*args, **kwargs):
        raise NotImplementedError(f'numpy.{name} was removed in numpy 1.20; use numpy_financial.{name}')
    return removed


def _asfarray(a, dtype=float):
    import numpy as np
    return np.asarray(a, dtype=dtype if np.issubdtype(dtype, np.inexact) else float)


def _msort(a):
    import numpy as np
    return np.sort(a, axis=0)


def import_mxnet():
    """Prepare the process and import mxnet.

    Raises :class:`MissingPackage` that says what to install where mxnet or a library of its is missing.
    """
    set_threads()
    _import_hook.register()
    try:
        import mxnet
    except ModuleNotFoundError as error:
        if error.name != 'mxnet':
            raise
        raise MissingPackage('mxnet is not installed: pip install --no-deps mxnet==1.9.1 (CPU) or '
                             'mxnet-cu112==1.9.1 (GPU); Linux x86-64 only') from None
    except OSError as error:
        raise MissingPackage(f'mxnet cannot load a library: {error}; {_library_remedy(str(error))}') from None
    return mxnet


def _library_remedy(message):
    if 'libgomp' in message:
        return 'apt-get install libgomp1'
    if not installed('mxnet-cu112'):
        return 'pip install --no-deps --force-reinstall mxnet==1.9.1'
    if 'libcuda.so' in message:
        return ('install the NVIDIA driver, or take the CPU build: pip uninstall mxnet-cu112, '
                'then pip install --no-deps mxnet==1.9.1')
    return "pip install 'resnest[cu112]' brings the CUDA libraries"


def import_extra(name, extra):
    """Import the module ``name``, which the extra ``extra`` of setup.py installs.

    Raises :class:`MissingPackage` that names the extra where the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition('.')[0]:
            raise
        raise MissingPackage(f"{error.name} is not installed: pip install 'resnest[{extra}]'") from None
