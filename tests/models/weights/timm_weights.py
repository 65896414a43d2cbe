"""The weights behind timm_logits.npz and timm_family.npz in tests/expected, of NumPy's frozen generator, by name.

With timm 1.0.31 and torch 2.13, for each model: ``net.load_state_dict`` of :func:`weights` over the names and shapes
of ``net.state_dict()``, then the logits of :func:`image`, in evaluation.
"""
import numpy as np


def weights(shapes, seed=0):
    """float32 values for a PyTorch state dict: ``{name: shape}`` → ``{name: array}``."""
    rng, values = np.random.RandomState(seed), {}
    for name, shape in sorted(shapes.items()):
        if name.endswith('num_batches_tracked'):
            values[name] = np.full((), 7, np.int64)
            continue
        if len(shape) > 1:
            value = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        elif name.endswith('running_var'):
            value = rng.uniform(0.5, 1.5, shape)
        elif name.endswith('weight'):
            value = rng.uniform(0.5, 1.5, shape) * (0.1 if '.bn3.' in name or '.conv3.bn.' in name else 1)
        else:
            value = rng.standard_normal(shape) * 0.1
        values[name] = value.astype('f4')
    return values


def image(height, width):
    return np.random.RandomState(1).standard_normal((1, 3, height, width)).astype('f4')
