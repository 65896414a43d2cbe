"""Prepares the process for mxnet 1.9.1, the last release, before ``import mxnet``.

* numpy's removed names, which mxnet still reads, are put back (:mod:`resnest.compatibility`).
* The CUDA libraries of ``mxnet-cu112`` are loaded from their PyPI wheels (:mod:`resnest.cuda`).
* The number of threads is set to the physical cores at hand (:mod:`resnest.threads`).

They happen in any process of the environment that imports mxnet (:mod:`resnest._import_hook`), or
where ``resnest.gluon`` is imported. Nothing here imports mxnet except :func:`import_mxnet`.
"""
import importlib

from resnest import _import_hook
from resnest.cuda import check_gpus, gpu_capabilities, gpu_identity, installed
from resnest.errors import MissingPackage
from resnest.threads import require_one_engine_thread, set_threads, usable_cores

__all__ = ['check_gpus', 'gpu_capabilities', 'gpu_identity', 'import_extra', 'import_mxnet', 'install_command',
           'installed', 'set_threads', 'usable_cores']

# Of distributions in the extras of setup.py whose newest version may not do.
VERSIONS = {'onnx': '>=1.16,<1.19', 'gluoncv': '==0.10.5.post0'}


def import_mxnet():
    """Prepare the process and import mxnet.

    Raises :class:`MissingPackage` that says what to install where mxnet or a library of its is missing, and InputError
    where the environment gives its engine several threads.
    """
    require_one_engine_thread()
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
    if 'libquadmath' in message:
        return 'apt-get install libquadmath0'
    if not installed('mxnet-cu112'):
        return 'pip install --no-deps --force-reinstall mxnet==1.9.1'
    if 'libcuda.so' in message:
        return ('install the NVIDIA driver, or take the CPU build: pip uninstall mxnet-cu112, '
                'then pip install --no-deps mxnet==1.9.1')
    return ("pip install -c constraints.txt '.[cu112]', in the folder of this package's sources, brings the CUDA "
            'libraries')


def install_command(*names):
    """The command that installs distributions which extras of setup.py name, in the versions that are understood.

    It names them, since pip would take ``resnest[demo]`` for what PyPI has under this package's name.
    """
    return ' '.join(['pip install', *(f"'{name}{VERSIONS[name]}'" if name in VERSIONS else name for name in names)])


def import_extra(name):
    """Import the module ``name`` of a distribution of the same name, which an extra of setup.py installs.

    Raises :class:`MissingPackage` with the command that installs it where the module is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition('.')[0]:
            raise
        raise MissingPackage(f'{error.name} is not installed: {install_command(error.name)}') from None
