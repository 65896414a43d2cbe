"""AnyNetX networks, many at once: what makes each of them, and its multiply-adds by formula (Radosavovic et al., 2020,
https://arxiv.org/abs/2003.13678, section 3.2)."""
from dataclasses import dataclass
from typing import Optional

import numpy as np

__all__ = ['MODEL', 'Networks']

MODEL = 'resnet50_v1b'      # the row of the table that they are made from: its strides are those of AnyNetX
REDUCTION, LEAST_INNER = 4, 32      # of split attention


@dataclass(frozen=True)
class Networks:
    """What makes ``n`` networks; the arrays are of whole numbers, ``(n, 4)``, one column per stage.

    Each network is a 3×3 convolution with stride 2, four stages whose first blocks have stride 2, and a classifier over
    the mean of the last map. The X block of a stage of ``widths`` channels is a 1×1 convolution to
    ``widths / ratios`` channels, a 3×3 one in groups of ``groups`` channels and a 1×1 one back. With ``radix`` split
    attention takes the place of the 3×3 convolution. The stem has ``stem`` channels.
    """
    depths: np.ndarray
    widths: np.ndarray
    ratios: np.ndarray
    groups: np.ndarray
    radix: Optional[int] = None
    stem: int = 32

    PARAMETERS = 'depths', 'widths', 'ratios', 'groups'

    def __len__(self):
        return len(self.depths)

    def take(self, chosen):
        """Those networks that an index, a slice or a mask of NumPy chooses."""
        return Networks(*(getattr(self, name)[chosen] for name in self.PARAMETERS), self.radix, self.stem)

    @property
    def exist(self):
        """A mask ``(n,)``: whether the channels of each layer can be divided into its groups."""
        inner = self.widths // self.ratios
        good = (self.widths % (self.ratios * self.groups) == 0) & (inner > 0)
        if self.radix:
            good &= (self.groups % self.radix == 0) & (self._attention % np.maximum(1, inner // self.groups) == 0)
        return good.all(axis=1)

    @property
    def _attention(self):
        """The channels between the two layers of split attention."""
        return np.maximum(self.widths // self.ratios * self.radix // REDUCTION, LEAST_INNER)

    def multiply_adds(self, size=224, classes=1000):
        """The multiply-adds of each network for an image of ``size`` px, ``(n,)``.

        They are those that :func:`resnest.gluon.models.cost.complexity` counts, normalizations included.
        """
        side = (size + 1) // 2
        total = np.full(len(self), side ** 2 * self.stem * (3 * 9 + 1), 'int64')
        before = np.full(len(self), self.stem, 'int64')
        for stage in range(4):
            depth, width, ratio, group = (getattr(self, name)[:, stage].astype('int64') for name in self.PARAMETERS)
            inner, out = width // ratio, (side + 1) // 2
            # Per position of the stage's map: the last two convolutions and their normalizations; the first of each.
            rest = inner * (9 * group + width + (self.radix or 1)) + width
            first = inner * (width + 1)
            total += out ** 2 * (depth * rest + (depth - 1) * first)
            total += side ** 2 * inner * (before + 1) + out ** 2 * width * (before + 1)
            if self.radix:
                between, groups = self._attention[:, stage], np.maximum(1, inner // group)
                total += depth * (between * (inner // groups + 1) + inner * self.radix * (between // groups))
            side, before = out, width
        return total + before * classes

    def options(self, index):
        """The fields in which a network differs from the row :data:`MODEL`, as ``model_options`` of a recipe."""
        widths, ratios = self.widths[index], self.ratios[index]
        found = {'blocks': self.depths[index], 'planes': widths // ratios, 'expansions': ratios,
                 'group_widths': self.groups[index]}
        return {**{name: values.tolist() for name, values in found.items()}, 'stem': 'single',
                'stem_width': self.stem // 2, **({'attention': 'split', 'radix': self.radix} if self.radix else {})}
