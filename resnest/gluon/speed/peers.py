"""Who the benchmark compares with, what each needs, and in which environment it is."""
import json

from resnest.errors import InputError, MissingPackage
from resnest.runtime import install_command, installed

from .fresh_process import run_fresh

__all__ = ['FOREIGN', 'OTHERS', 'lacking', 'require', 'versions_in']

FOREIGN = ('openvino', 'pytorch')       # without mxnet: an environment of their own will do
OTHERS = ('gluoncv', 'onnxruntime', *FOREIGN)
NEEDS = {'ours': (), 'pytorch': ('torch', 'timm')}      # distributions; of the others, those of their names
NEEDS_INT8 = {'openvino': ('nncf',)}
DISTRIBUTIONS = ('openvino', 'nncf', 'torch', 'timm')
ASK = '''
import json, sys
from importlib import metadata
found = {each.metadata['Name']: each.version for each in metadata.distributions()}
print(json.dumps({name: found.get(name) for name in sys.argv[1:]}))
'''


def versions_in(python=None):
    """``{distribution: version, or None}`` of what the foreign contenders need, in the environment of the command
    ``python``, or in this one.

    Raises InputError where ``python`` is no Python.
    """
    if python is None:
        return {name: installed(name) for name in DISTRIBUTIONS}
    try:
        return json.loads(run_fresh(f'{python} failed', '-c', ASK, *DISTRIBUTIONS, python=python))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f'{python}: is no Python that runs ({getattr(error, "strerror", None) or "it says nothing"}); '
                         'give --peers-python the one of an environment, as peers/bin/python') from None


def lacking(implementation, precision, versions):
    """The distributions that an implementation needs in a precision and that are not among ``versions``."""
    needs = NEEDS.get(implementation, (implementation,))
    if precision == 'int8':
        needs += NEEDS_INT8.get(implementation, ())
    return [name for name in needs if not versions.get(name)]


def require(implementations, precisions, versions, python=None):
    """Raise MissingPackage where one of the implementations lacks what it needs in one of the precisions."""
    for name in implementations:
        missing = dict.fromkeys(each for precision in precisions for each in lacking(name, precision, versions))
        if missing:
            command = install_command(*missing)
            if name in FOREIGN:
                command = f'{python} -m {command}' if python else \
                    f'{command}, here or in an environment whose Python --peers-python names'
            raise MissingPackage(f"{name}, to compare with, is not installed: {command}")
