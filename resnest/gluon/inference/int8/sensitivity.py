"""Which layers of a network int8 harms most."""
import numpy as np

from ..passes.graph import from_symbol, walk
from .ranges import run

__all__ = ['layers_by_harm']

IMAGES = 4      # whose activations are compared


def layers_by_harm(plan, trial):
    """Groups of layers to leave in float32, the most harmed first.

    The harm is how much larger a layer's error is than that of the layers it reads; the error is the difference from
    float32, relative for each channel, so that one large channel does not hide the others. A group is a layer and those
    that read its output, because an array is int8 unless both sides are float32.

    ``plan`` is the float32 network (``symbol, args, aux, batches, layers, ranges``), ``trial`` the network with all
    layers in int8. Returns a list of sets of names.
    """
    batch = [plan.batches[0][:IMAGES]]
    wanted, errors = {}, {}

    def keep(name, array):
        node = name[:-len('_output')]
        if name.endswith('_output') and node in plan.layers:
            wanted[node] = array.asnumpy()

    def compare(name, array):
        node = name[len('quantized_'):-len('_output')]
        if name.startswith('quantized_') and name.endswith('_output') and node in wanted:
            errors[node] = _error(_real(array.asnumpy(), plan.ranges[f'{node}_output']), wanted[node])

    run(plan.symbol, plan.args, plan.aux, batch, keep)
    run(trial.symbol, trial.args, trial.aux, batch, compare)
    before = _layers_before(plan)
    harm = {name: errors.get(name, 0) - max((errors.get(other, 0) for other in before[name]), default=0)
            for name in plan.layers}
    return [{name, *(reader for reader in plan.layers if name in before[reader])}
            for name in sorted(plan.layers, key=lambda name: -harm[name])]


def _real(values, limits):
    """What the numbers of an int8 array stand for; float arrays as they are."""
    steps = {'uint8': 255.5, 'int8': 127.5}.get(values.dtype.name)
    return values if steps is None else values.astype(np.float32) * (max(map(abs, limits)) / steps)


def _error(found, wanted):
    axes = tuple(axis for axis in range(wanted.ndim) if axis != 1)
    size = np.square(wanted).sum(axes)
    alive = size > 0
    if not alive.any():
        return 0.0
    return float(np.sqrt(np.minimum(np.square(found - wanted).sum(axes)[alive] / size[alive], 1).mean()))


def _layers_before(plan):
    """For each layer the layers whose outputs it reads, through whatever is between."""
    sources, found = {}, {}
    for node in walk(from_symbol(plan.symbol)):
        reads = set().union(*(sources[id(child)] for child, _ in node.inputs))
        if node.name in plan.layers:
            found[node.name], reads = reads, {node.name}
        sources[id(node)] = reads
    return found
