"""Which layers of a network int8 harms most."""
import numpy as np

__all__ = ['layers_by_harm']


def layers_by_harm(reference, trial, batch):
    """Groups of layers to leave in float32, the most harmed first.

    The harm is how much larger a layer's error is than that of the layers it reads; the error is the difference from
    float32, relative for each channel, so that one large channel does not hide the others. A group is a layer and those
    that read its output, because an array is int8 unless both sides are float32.

    Parameters
    ----------
    reference, trial
        A network in float32 and with all layers in int8, as :class:`.trials.Reference` and :class:`.trials.Trial` are:
        of both ``watch(batch, see)`` calls ``see(layer, output)`` for each layer, and ``reference.reads`` has for each
        layer the set of those that it reads.
    batch : NDArray
        The images whose activations are compared.

    Returns a list of sets of layers.
    """
    wanted, errors = {}, {}
    reference.watch(batch, wanted.__setitem__)
    trial.watch(batch, lambda layer, found: errors.__setitem__(layer, _error(found, wanted[layer])))
    reads = reference.reads
    harm = {layer: errors[layer] - max((errors[other] for other in reads[layer]), default=0) for layer in reads}
    return [{layer, *(reader for reader in reads if layer in reads[reader])}
            for layer in sorted(reads, key=lambda layer: -harm[layer])]


def _error(found, wanted):
    axes = tuple(axis for axis in range(wanted.ndim) if axis != 1)
    size = np.square(wanted).sum(axes)
    alive = size > 0
    if not alive.any():
        return 0.0
    return float(np.sqrt(np.minimum(np.square(found - wanted).sum(axes)[alive] / size[alive], 1).mean()))
