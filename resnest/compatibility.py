"""What must be there before ``import mxnet``, in any process that imports it (:mod:`resnest._import_hook`)."""
import sys
import warnings

from resnest.cuda import load_cuda_libraries
from resnest.errors import MissingPackage
from resnest.threads import set_threads

__all__ = ['prepare_import', 'restore_numpy_names']

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
    set_threads(imported=False)     # mxnet stands in sys.modules by now, but has not run yet
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
