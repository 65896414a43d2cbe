"""int8 networks: mxnet's quantization over oneDNN, with the layers that it harms left in float32.

Weights are quantized channel by channel, activations with ranges from calibration images. Nothing but mxnet's own
operators is in the result, unless ``native`` puts the fused split attention in.
"""
from resnest.errors import InputError

from .equalization import equalize
from .sensitivity import layers_by_harm
from .trials import Reference, Trial

__all__ = ['quantize']

IMAGES = 4      # whose activations are compared
REFINEMENTS = 3


def quantize(symbol, args, aux, calibration, mode='naive', native=False, agreement=0.995):
    """An int8 network from a float32 one.

    Layers are left in float32, the one that int8 harms most first, until the first class is the float32 network's for
    enough of the calibration images. That takes at most some ten trials; the last one leaves every layer. Where the
    network has no logits (an output ``(N, classes)``), there is nothing to agree on, and every layer is int8.

    Parameters
    ----------
    symbol : Symbol
        With the input ``data``; batch normalizations folded (:func:`..passes.folding.fold`). For ``native``, split
        attention must be the native operators.
    args, aux : dict of NDArray
        Its parameters.
    calibration : list of NDArray
        Batches of inputs, at least one.
    mode : 'naive' or 'entropy'
        How ranges are found: the extremes that the calibration images reach, or the best bound for their distribution.
    native : bool
        Whether to fuse split attention into one int8 operator, ``split_attention_int8``, which must be loaded.
    agreement : float
        The share of the calibration images to agree on; 0 quantizes every layer.

    Returns ``(symbol, args, aux, report)``. The report is a dict: ``calibration_mode``, ``calibration_images``,
    ``top1_agreement`` (of logits), ``int8_layers`` (their number), ``in_float32`` (names of the layers that were left)
    and ``attention_layers_in_float32`` (the number of the attention's layers after the pooling, which always are).
    Raises InputError for a calibration set that is empty or gives values that are not finite.
    """
    if not calibration:
        raise InputError('int8 needs calibration images: the calibration set is empty')
    symbol, args = equalize(symbol, args)
    reference = Reference(symbol, args, aux, calibration, mode, native)
    found = Trial(reference)
    if found.agreement is not None and found.agreement < agreement:
        found = _search(reference, found, agreement)
    return found.symbol, found.args, found.aux, {
        'calibration_mode': mode, 'calibration_images': sum(map(len, calibration)),
        **({} if found.agreement is None else {'top1_agreement': found.agreement}),
        'int8_layers': len(reference.layers) - len(found.left),
        'in_float32': [layer for name, layer in reference.layers.items() if name in found.left],
        'attention_layers_in_float32': len(reference.fixed)}


def _search(reference, worst, agreement):
    """The trial that leaves few layers and agrees: twice as many each time, then back between the last two."""
    groups = layers_by_harm(reference, worst, reference.batches[0][:IMAGES])

    def trial(count):
        return Trial(reference, {name for group in groups[:count] for name in group})

    low, high = 0, 1
    while (found := trial(high)).agreement < agreement and high < len(groups):
        low, high = high, min(2 * high, len(groups))
    for _ in range(REFINEMENTS):
        middle = (low + high) // 2
        if middle == low:
            break
        between = trial(middle)
        if between.agreement >= agreement:
            found, high = between, middle
        else:
            low = middle
    return found
