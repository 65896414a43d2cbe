"""Loading the compiled libraries into mxnet, once per process, and what else there is to know of them."""
import contextlib
import ctypes
import functools
import os
import warnings

import mxnet as mx

from resnest.errors import InputError, MissingPackage
from resnest.gluon.mxnet_private import register_operators

from .building import LIBRARIES, build, library

__all__ = ['available', 'compile_function', 'function', 'load', 'needed']

_loaded, _failed = set(), {}        # the file that could not be built or loaded is not tried again


def load(compiling=True, name='split_attention'):
    """Load a library into mxnet, once per process, and say whether ``mx.nd`` and ``mx.sym`` have its operators.

    Parameters
    ----------
    compiling : bool
        Whether to compile it first (some ten seconds) where :func:`library` is not there yet.
    name : str
        One of :data:`LIBRARIES`.

    Returns False with ``RESNEST_NATIVE=0`` in the environment and without a compiler; also, with a warning, where
    compiling or loading fails, or mxnet's files do not lie as in its wheel.
    """
    if os.environ.get('RESNEST_NATIVE') == '0':
        return False
    if name in _loaded:
        return True
    path = None
    try:
        path = library(name)
        if _failed.get(name) == path or not (compiling or path.exists()):
            return False
        register_operators(build(name), LIBRARIES[name])
    except MissingPackage:
        _failed[name] = path
    except (InputError, OSError, mx.MXNetError) as error:
        _failed[name] = path
        warnings.warn(f'without the native operators: {str(error).strip().splitlines()[-1]}', stacklevel=2)
    else:
        _loaded.add(name)
    return name in _loaded


def available(name='split_attention'):
    """Whether the operators of a library are compiled and can be used; this loads them, and compiles nothing."""
    return load(compiling=False, name=name)


@functools.cache
def function(name):
    """The C function of a library without operators, which is called without Python's lock; None where it is not
    compiled (:func:`compile_function`), cannot be loaded, or is turned off by ``RESNEST_NATIVE=0``. It is looked for
    once per process."""
    if os.environ.get('RESNEST_NATIVE') == '0':
        return None
    try:
        return ctypes.CDLL(str(library(name)))[name]
    except OSError:
        return None


def compile_function(name):
    """Compile a library without operators where it is not there yet, for :func:`function` in this process and others.

    Nothing is said where that fails, and nothing done with ``RESNEST_NATIVE=0``: the caller has another way.
    """
    if os.environ.get('RESNEST_NATIVE') == '0':
        return
    with contextlib.suppress(InputError, MissingPackage, OSError):
        if not library(name).exists():
            build(name)
            function.cache_clear()


def needed(symbol):
    """The libraries that a symbol needs, given as its JSON: what to :func:`load` before it is read."""
    return [name for name, operators in LIBRARIES.items()
            if any(f'"op": "{operator}"' in symbol for operator in operators)]
