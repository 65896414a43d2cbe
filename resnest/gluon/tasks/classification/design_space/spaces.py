"""The spaces AnyNetX A to E and RegNetX, and networks drawn from them (Radosavovic et al., 2020,
https://arxiv.org/abs/2003.13678, sections 3.2 and 3.3)."""
from dataclasses import dataclass, replace
from typing import Optional

import numpy as np

from resnest.errors import InputError
from resnest.gluon.streams import DESIGNS, generator

from .networks import Networks

__all__ = ['Limits', 'SPACES', 'Space', 'draw', 'linear_rule', 'log_uniform', 'sample']

BATCH = 1 << 15         # networks that are drawn at once; another number would draw others
MOST_BATCHES = 1000
WITHOUT = 100            # batches after which a budget is given up that no network has met
MULTIPLE = 8            # of widths


@dataclass(frozen=True)
class Space:
    """A space by what its networks have in common: ``shared`` parameters are equal in the four stages, ``ordered`` ones
    never fall from stage to stage; with ``linear`` depths and widths follow RegNet's rule."""
    name: str
    shared: tuple = ()
    ordered: tuple = ()
    linear: bool = False


SPACES = {space.name: space for space in (
    Space('A'), Space('B', ('ratios',)), Space('C', ('ratios', 'groups')),
    Space('D', ('ratios', 'groups'), ('widths',)), Space('E', ('ratios', 'groups'), ('widths', 'depths')),
    Space('RegNet', ('ratios', 'groups'), ('widths',), linear=True))}


@dataclass(frozen=True)
class Limits:
    """The largest depth, width and group width of a stage, the bottleneck ratios to choose from, the stem's channels,
    and the ``radix`` of split attention, None without."""
    depth: int = 16
    width: int = 1024
    group: int = 32
    ratios: tuple = (1, 2, 4)
    stem: int = 32
    radix: Optional[int] = None

    @property
    def groups(self):
        """The group widths to choose from: powers of two, which split attention can divide by its radix."""
        return np.array([1 << power for power in range(self.group.bit_length())
                         if (1 << power) <= self.group and (1 << power) % (self.radix or 1) == 0])


PAPERS = Limits()


def sample(space, count, seed, budget, limits=PAPERS, size=224, classes=1000):
    """Draw ``count`` networks of a space whose multiply-adds lie in ``budget``, ``(least, most)``, as Networks.

    They are the first ones among all that ``seed`` draws: a greater count adds networks, and another budget chooses
    others of the same. Raises InputError where too few of very many have so many multiply-adds.
    """
    if not len(limits.groups):
        raise InputError(f'--radix {limits.radix}: divides no group width up to {limits.group}; allow wider groups, or '
                         'choose another radix')
    parts, found = [], 0
    for number in range(MOST_BATCHES):
        networks = draw(space, BATCH, generator(DESIGNS, seed, [*SPACES].index(space.name), number), limits)
        cost = networks.multiply_adds(size, classes)
        parts.append(networks.take((budget[0] <= cost) & (cost <= budget[1])))
        found += len(parts[-1])
        if found >= count:
            joined = [np.concatenate([getattr(part, name) for part in parts]) for name in Networks.PARAMETERS]
            return replace(networks, **dict(zip(Networks.PARAMETERS, joined))).take(slice(count))
        if not found and number + 1 == WITHOUT:
            break
    raise InputError(f'{found} of {(number + 1) * BATCH} networks of space {space.name} have {budget[0]:,} to '
                     f'{budget[1]:,} multiply-adds, not {count}; choose another budget, or other limits')


def draw(space, count, random, limits=PAPERS):
    """Draw networks of a space, whatever they cost: those of ``count`` that exist.

    Depths and widths are log-uniform, widths among those that ratio and group width divide; ratios and group widths are
    uniform among their choices. Where a space has an order, those that are not in it are left out.
    """
    def chosen(values, name):
        drawn = random.choice(np.array(values), (count, 1 if name in space.shared else 4))
        return np.broadcast_to(drawn, (count, 4)).copy()

    ratios, groups = chosen(limits.ratios, 'ratios'), chosen(limits.groups, 'groups')
    if space.linear:
        depths, widths = _by_linear_rule(count, random, ratios * groups, limits)
    else:
        step = np.maximum(MULTIPLE, ratios * groups)
        depths = log_uniform(random, np.full((count, 4), limits.depth))
        widths = step * log_uniform(random, limits.width // step)
    networks = Networks(depths, widths, ratios, groups, limits.radix, limits.stem)
    good = (depths > 0).all(axis=1) & (widths > 0).all(axis=1) & networks.exist
    for name in space.ordered:
        good &= (np.diff(getattr(networks, name), axis=1) >= 0).all(axis=1)
    return networks.take(good)


def log_uniform(random, most):
    """Whole numbers from 1 to ``most``, an array; each ``v`` has the share of ``[log v, log (v + 1))`` in
    ``[0, log (most + 1))``. 0 where ``most`` is."""
    found = np.floor(np.exp(random.random(most.shape) * np.log(most + 1))).astype('int64')
    return np.minimum(found, most)


def linear_rule(depth, start, slope, factor):
    """The depths and widths of a RegNet's stages, ``(n, 4)``, and a mask of those of four stages (section 3.3).

    Block ``j`` of ``depth`` wants ``u = start + slope · j`` channels; the power ``start · factor ** s`` that is nearest
    to it, ``s`` a whole number, rounded to a multiple of 8, is what it gets, and blocks of one width are a stage. The
    arguments are arrays ``(n,)``.
    """
    depth, start, slope, factor = (np.asarray(each)[:, None] for each in (depth, start, slope, factor))
    block = np.arange(depth.max())
    power = np.rint(np.log((start + slope * block) / start) / np.log(factor))
    width = (MULTIPLE * np.rint(start * factor ** power / MULTIPLE)).astype('int64')
    there = block < depth
    stage = np.cumsum(np.diff(width, axis=1, prepend=width[:, :1]) != 0, axis=1)
    number = np.where(there, stage, 0).max(axis=1) + 1
    depths = np.stack([((stage == each) & there).sum(axis=1) for each in range(4)], axis=1)
    widths = np.stack([np.where((stage == each) & there, width, 0).max(axis=1) for each in range(4)], axis=1)
    return depths, widths, number == 4


def _by_linear_rule(count, random, step, limits):
    """Depths and widths by RegNet's rule of d < 64, w0 and wa < 256 and wm from 1.5 to 3, all log-uniform; 0 where the
    rule gives another number of stages, or more than the limits. Widths are the nearest that ratio and group divide."""
    depth = log_uniform(random, np.full(count, 63))
    start = MULTIPLE * log_uniform(random, np.full(count, 31))
    slope = np.exp(random.uniform(np.log(MULTIPLE), np.log(256), count))
    factor = np.exp(random.uniform(np.log(1.5), np.log(3), count))
    depths, widths, four = linear_rule(depth, start, slope, factor)
    widths = np.where(widths % step, step * np.rint(widths / step).astype('int64'), widths)
    good = four & (depths.max(axis=1) <= limits.depth) & (widths.max(axis=1) <= limits.width)
    return np.where(good[:, None], depths, 0), np.where(good[:, None], widths, 0)
