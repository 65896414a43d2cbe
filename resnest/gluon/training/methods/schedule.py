"""Factors that change over a run: the learning rate step by step, DropBlock's probability epoch by epoch."""
import math

__all__ = ['cosine_ramp', 'dropblock_probability', 'falling_steps', 'make_schedule', 'polynomial', 'warmed_up']


def warmed_up(step, warmup_steps, first=0.0):
    """Linear warm-up (section 5.1; Goyal et al., 2017): the factor of a step, counted from 0, above 0 at the first and
    1 from the last of ``warmup_steps`` on; or ``first`` at the first, and 1 after the last of them."""
    if first:
        return min(1.0, first + (1 - first) * step / max(1, warmup_steps))
    return min(1.0, (step + 1) / max(1, warmup_steps))


def cosine_ramp(part):
    """Half a cosine (section 5.1; Loshchilov and Hutter, 2016) from 1 down to 0, over ``part`` from 0 to 1."""
    return 0.5 * (1 + math.cos(math.pi * part))


def polynomial(part, power):
    """``(1 - part) ** power``, from 1 down to 0 (Chen et al., 2017, https://arxiv.org/abs/1606.00915, section 4.1)."""
    return (1 - part) ** power


def falling_steps(time, milestones, factor):
    """``factor`` for each of the ``milestones`` that are over, epochs or steps as ``time`` is (He et al., 2016)."""
    return factor ** sum(time >= milestone for milestone in milestones)


def make_schedule(config, total, warmup):
    """The learning rate of a recipe, as a function from a step, counted from 0, to a factor of the highest rate.

    ``total`` are the steps of the run, ``warmup`` those of the warm-up. Cosine and polynomial fall from its end to
    :attr:`..config.TrainConfig.min_lr`, milestones are counted from the beginning of the run.
    """
    least = config.min_lr / config.share_lr if config.min_lr else 0.0
    shapes = {'cosine': cosine_ramp, 'poly': lambda part: polynomial(part, config.poly_power)}

    def factor(step):
        warmed = warmed_up(step, warmup, config.warmup_factor)
        if config.lr_schedule == 'step':
            when = (step, config.milestone_steps) if config.milestone_steps else \
                (step * config.num_epochs // total, config.milestones)
            return warmed * falling_steps(*when, config.lr_decay)
        if config.lr_schedule == 'constant' or step < warmup:
            return warmed
        part = min(1.0, (step - warmup) / max(1, total - warmup))
        return least + (1 - least) * shapes[config.lr_schedule](part)

    return factor


def dropblock_probability(epoch, epochs, final):
    """DropBlock's probability in an epoch: a straight line from 0 in the first to ``final`` in the last."""
    return final * epoch / max(1, epochs - 1)
