"""The table of variants: each row is a network, its weights and its preprocessing (Zhang et al., 2020, tables 3, 4)."""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.reading import did_you_mean, one_line

from .rows import Row, override

__all__ = ['VARIANTS', 'VariantSpec', 'find_variant', 'no_such_model', 'option_names', 'override']

# The largest values: far above what anyone trains, and small enough to make the network in a moment.
LIMITS = {'radix': (0, 64), 'cardinality': (1, 1024), 'bottleneck_width': (1, 4096), 'stem_width': (1, 4096),
          'crop_size': (1, 1 << 14)}
MOST_BLOCKS = 1000
INTERPOLATIONS = ('bilinear', 'bicubic')

# What is published of a network holds for another one that differs from it in these alone.
STILL_TRUE = {**dict.fromkeys(('parameters', 'gmacs', 'sha1'),
                              {'final_drop', 'crop_size', 'interpolation', 'crop_ratio', 'mean', 'std'}),
              'top1': {'final_drop'}}
# The table: the rows by their names. It is filled below.
VARIANTS: dict[str, 'VariantSpec'] = {}


@dataclass(frozen=True)
class VariantSpec(Row):
    """What makes a network, and how its published weights want their images.

    ``crop_size``, ``interpolation`` and ``crop_ratio`` are those of the published accuracy; at another size
    ``resnest.gluon.data.preprocessing`` chooses the interpolation. ``mean`` and ``std`` normalize the pixels (RGB, on a
    scale of 0 to 1). ``parameters`` counts the learnable ones at 1000 classes.
    ``top1`` (per cent, ImageNet validation), ``gmacs`` (at 224 px) and ``sha1`` (of the .params file) are the published
    ones, None where nothing is published; a row that is made from one of the table, by ``dataclasses.replace`` too,
    forgets what need not be true of it. Raises InputError for values of another type or out of range.
    """
    name: str
    blocks: tuple[int, int, int, int]
    radix: int = 2
    cardinality: int = 1
    bottleneck_width: int = 64
    stem_width: int = 32
    avd: bool = True
    avd_first: bool = False
    final_drop: float = 0.0
    crop_size: int = 224            # pixels
    interpolation: str = 'bilinear'
    crop_ratio: float = 0.875       # crop size / short edge of the resized image
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)       # ImageNet's
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    parameters: Optional[int] = None
    top1: Optional[float] = None
    gmacs: Optional[float] = None
    sha1: Optional[str] = None

    table = VARIANTS
    still_true = STILL_TRUE

    def __post_init__(self):
        self.settle_types()
        if len(self.blocks) != 4 or min(self.blocks) < 1 or max(self.blocks) > MOST_BLOCKS:
            raise InputError(f'blocks must be four numbers of at least 1 and at most {MOST_BLOCKS}, got '
                             f'{one_line(self.blocks)}')
        self.check_limits(LIMITS)
        if not 0 <= self.final_drop < 1:
            raise InputError(f'final_drop must be in [0, 1), got {self.final_drop}')
        if not 0 < self.crop_ratio <= 1:
            raise InputError(f'crop_ratio must be above 0 and at most 1, got {self.crop_ratio}')
        self.check_choices({'interpolation': INTERPOLATIONS})
        self.check_statistics()
        self.forget_published()

    @property
    def depth(self):
        """Number of convolution and dense layers on the longest path, as the names count them."""
        return 3 * sum(self.blocks) + 2


def option_names():
    """Names of what :func:`override` can change."""
    return VariantSpec.options()


VARIANTS.update({spec.name: spec for spec in (
    VariantSpec('resnest14', (1, 1, 1, 1), parameters=10_611_688),
    VariantSpec('resnest26', (2, 2, 2, 2), parameters=17_069_448),
    VariantSpec('resnest50', (3, 4, 6, 3), top1=81.04, parameters=27_483_240,
                sha1='bcfefe1dd1dd1ef5cfed5563123c1490ea37b42e'),
    VariantSpec('resnest101', (3, 4, 23, 3), stem_width=64, crop_size=256, top1=82.81, parameters=48_275_016,
                sha1='5da943b3230f071525a98639945a6b3b3a45ac95'),
    VariantSpec('resnest200', (3, 24, 36, 3), stem_width=64, final_drop=0.2, crop_size=320,
                interpolation='bicubic', crop_ratio=0.909, top1=83.88, parameters=70_201_544,
                sha1='0c5d117df664ace220aa6fc2922c094bb079d381'),
    VariantSpec('resnest269', (3, 30, 48, 8), stem_width=64, final_drop=0.2, crop_size=416,
                interpolation='bicubic', crop_ratio=0.928, top1=84.53, parameters=110_929_480,
                sha1='11ae7f5da2bcdbad05ba7e84f9b74383e717f3e3'),
    VariantSpec('resnest50_fast_1s1x64d', (3, 4, 6, 3), radix=1, avd_first=True, top1=80.35, gmacs=4.34,
                parameters=26_217_896, sha1='5e16dbe56f1fba8e1bc2faddd91f874bfbd74193'),
    VariantSpec('resnest50_fast_2s1x64d', (3, 4, 6, 3), avd_first=True, top1=80.65, gmacs=4.34,
                parameters=27_483_240, sha1='85eb779a5e313d74b5e5390dae02aa8082a0f469'),
    VariantSpec('resnest50_fast_4s1x64d', (3, 4, 6, 3), radix=4, avd_first=True, top1=80.9, gmacs=4.35,
                parameters=31_912_712, sha1='3f215532c6d8e07a10df116309993d4479fc3e4b'),
    VariantSpec('resnest50_fast_1s2x40d', (3, 4, 6, 3), radix=1, cardinality=2, bottleneck_width=40,
                avd_first=True, top1=80.72, gmacs=4.38, parameters=25_946_680,
                sha1='af3514c2ec757a3a9666a75b82f142ed47d55bee'),
    VariantSpec('resnest50_fast_2s2x40d', (3, 4, 6, 3), cardinality=2, bottleneck_width=40, avd_first=True,
                top1=80.84, gmacs=4.38, parameters=26_943_792, sha1='2db13245aa4967cf5e8617cb4911880dd41628a4'),
    VariantSpec('resnest50_fast_4s2x40d', (3, 4, 6, 3), radix=4, cardinality=2, bottleneck_width=40,
                avd_first=True, top1=81.17, gmacs=4.41, parameters=30_417_592,
                sha1='b24d515797832e02da4da9c8a15effd5e44cfb56'),
    VariantSpec('resnest50_fast_1s4x24d', (3, 4, 6, 3), radix=1, cardinality=4, bottleneck_width=24,
                avd_first=True, top1=80.97, gmacs=4.42, parameters=25_677_000,
                sha1='7318153ddb5e542a20cc6c58192f3c6209cff9ed'),
)})


def find_variant(name):
    """The row of a name; raises InputError, with the nearest name, where there is none."""
    if not isinstance(name, str) or name not in VARIANTS:
        raise no_such_model(name, VARIANTS)
    return VARIANTS[name]


def no_such_model(name, known):
    """The InputError about a name that is none of the known ones."""
    return InputError(f"there is no model '{one_line(name)}'{did_you_mean(name, known, 'resnest models lists all')}")
