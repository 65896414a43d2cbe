"""Linear warm-up, then half a cosine down to zero (section 5.1; Loshchilov and Hutter, 2016), step by step."""
import math

__all__ = ['cosine_ramp', 'dropblock_probability']


def cosine_ramp(step, steps, warmup_steps):
    """Factor of the learning rate at a step, counted from 0: above 0 at the first, near 0 at the last."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warmup_steps) / max(1, steps - warmup_steps))))


def dropblock_probability(epoch, epochs, final):
    """DropBlock's probability in an epoch: a straight line from 0 in the first to ``final`` in the last."""
    return final * epoch / max(1, epochs - 1)
