"""Having a network use the native operators, or the pure Gluon path again."""
import numpy as np

from resnest.gluon.mxnet_private import forget_trace, has_values

from .loading import load

__all__ = ['libraries', 'use_native']


def libraries(net):
    """Names of the libraries that the blocks of ``net`` have native operators in."""
    found = set()
    net.apply(lambda block: found.update([block.library] if hasattr(block, 'library') else []))
    return sorted(found)


def use_native(net, native=True):
    """Have every block in ``net`` that has native operators use them, or the pure Gluon path again.

    They serve float32 on CPUs: a network with other parameters keeps the pure path, and one that is cast to another
    dtype goes back to it. Turn them off before moving a network to a GPU, and before exporting it for a process that
    does not call :func:`load`. Call it on the outermost block that is hybridized: it is traced again.

    Returns whether ``net`` now uses them; False where :func:`load` cannot load them.
    """
    names = libraries(net)
    native = (native and bool(names) and all(_suits(param) for param in net.collect_params().values())
              and all(load(name=name) for name in names))

    def visit(block):
        if hasattr(block, 'library'):
            block.native = native

    net.apply(visit)
    forget_trace(net)
    return native


def _suits(param):
    if np.dtype(param.dtype) != np.float32:
        return False
    return not has_values(param) or all(ctx.device_type == 'cpu' for ctx in param.list_ctx())
