"""The table of variants: each row is a network, its weights and its preprocessing (Zhang et al., 2020, tables 3, 4).

After the ResNeSts come the networks that they came from: ResNet with its stride in the 3×3 convolution (v1b), ResNet-D
(v1d; He et al., 2019, https://arxiv.org/abs/1812.01187), ResNeXt (Xie et al., 2017, https://arxiv.org/abs/1611.05431),
and with squeeze-excitation (SE) or selective kernels (SK). Names, weights and accuracies are gluoncv's, where it has
the network (https://cv.gluon.ai/model_zoo/classification.html); the SK networks are timm's.
"""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.nn.bottleneck import ATTENTIONS, SHORTCUTS
from resnest.reading import did_you_mean, one_line

from .rows import GLUONCV_URL, Row, override

__all__ = ['TIMM', 'VARIANTS', 'VariantSpec', 'find_variant', 'no_such_model', 'option_names', 'our_name', 'override']

# The largest values: far above what anyone trains, and small enough to make the network in a moment.
LIMITS = {'radix': (0, 64), 'rounding': (1, 4096), 'cardinality': (1, 1024), 'bottleneck_width': (1, 4096),
          'stem_width': (1, 4096), 'crop_size': (1, 1 << 14)}
MOST_BLOCKS = 1000
MOST_PLANES = 1 << 14
MOST_EXPANSION = 64
CHOICES = {'attention': ATTENTIONS, 'shortcut': SHORTCUTS, 'stem': ('deep', 'plain', 'single'),
           'interpolation': ('bilinear', 'bicubic')}

# What is published of a network holds for another one that differs from it in these alone.
STILL_TRUE = {**dict.fromkeys(('parameters', 'gmacs', 'sha1', 'url'),
                              {'final_drop', 'crop_size', 'interpolation', 'crop_ratio', 'mean', 'std'}),
              'top1': {'final_drop'}}
# The table: the rows by their names. It is filled below.
VARIANTS: dict[str, 'VariantSpec'] = {}
# timm's name → ours, where they differ
TIMM = {'resnest14d': 'resnest14', 'resnest26d': 'resnest26', 'resnest50d': 'resnest50', 'resnest101e': 'resnest101',
        'resnest200e': 'resnest200', 'resnest269e': 'resnest269', 'resnest50d_4s2x40d': 'resnest50_fast_4s2x40d',
        'resnest50d_1s4x24d': 'resnest50_fast_1s4x24d', 'resnet50': 'resnet50_v1b', 'resnet101': 'resnet101_v1b',
        'resnet152': 'resnet152_v1b', 'resnet50d': 'resnet50_v1d', 'resnet101d': 'resnet101_v1d',
        'resnet152d': 'resnet152_v1d', 'seresnext50_32x4d': 'se_resnext50_32x4d',
        'seresnext101_32x4d': 'se_resnext101_32x4d'}


@dataclass(frozen=True)
class VariantSpec(Row):
    """What makes a network, and how its published weights want their images.

    ``attention`` and ``shortcut`` are those of :class:`resnest.gluon.nn.Bottleneck`, as are ``halves`` and
    ``rounding``, which selective kernels alone heed, and ``radix``, which split attention alone does. A ``stem`` is
    deep, three 3×3 convolutions, or plain, a 7×7 one, before a pooling, or single, a 3×3 one, and the first stage has
    the stride of the pooling; it ends with twice ``stem_width`` channels. ``avd`` stands for average downsampling.
    ``planes`` are the widths of the four stages, whose outputs have ``expansions`` times as many channels; smaller ones
    make a network that trains in minutes on a CPU. Where ``group_widths`` are not 0, the 3×3 convolutions of a stage
    have as many channels as ``planes`` says, in groups of that width, whatever cardinality and bottleneck width are.
    ``crop_size``, ``interpolation`` and ``crop_ratio`` are those of the published accuracy; at another size
    ``resnest.gluon.data.preprocessing`` chooses the interpolation. ``mean`` and ``std`` normalize the pixels (RGB, on a
    scale of 0 to 1). ``parameters`` counts the learnable ones at 1000 classes.
    ``top1`` (per cent, ImageNet validation), ``gmacs`` (at 224 px) and ``sha1`` (of the .params file) are the published
    ones, None where nothing is published; a row that is made from one of the table, by ``dataclasses.replace`` too,
    forgets what need not be true of it. Raises InputError for values of another type or out of range.
    """
    name: str
    blocks: tuple[int, int, int, int]
    attention: str = 'split'
    radix: int = 2
    halves: bool = False
    rounding: int = 32
    cardinality: int = 1
    bottleneck_width: int = 64
    stem: str = 'deep'
    stem_width: int = 32
    shortcut: str = 'pooled'
    planes: tuple[int, int, int, int] = (64, 128, 256, 512)
    expansions: tuple[int, int, int, int] = (4, 4, 4, 4)
    group_widths: tuple[int, int, int, int] = (0, 0, 0, 0)
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
    url: Optional[str] = None

    table = VARIANTS
    still_true = STILL_TRUE

    def __post_init__(self):
        self.settle_types()
        if len(self.blocks) != 4 or min(self.blocks) < 1 or max(self.blocks) > MOST_BLOCKS:
            raise InputError(f'blocks must be four numbers of at least 1 and at most {MOST_BLOCKS}, got '
                             f'{one_line(self.blocks)}')
        if len(self.planes) != 4 or not all(1 <= width <= MOST_PLANES for width in self.planes):
            raise InputError(f'planes must be four widths of at least 1 and at most {MOST_PLANES}, got '
                             f'{one_line(self.planes)}')
        if len(self.expansions) != 4 or not all(1 <= times <= MOST_EXPANSION for times in self.expansions):
            raise InputError(f'expansions must be four numbers of at least 1 and at most {MOST_EXPANSION}, got '
                             f'{one_line(self.expansions)}')
        if len(self.group_widths) != 4 or not all(group == 0 or group > 0 == planes % group
                                                  for group, planes in zip(self.group_widths, self.planes)):
            raise InputError(f'group_widths must be four divisors of the planes {self.planes}, or 0, got '
                             f'{one_line(self.group_widths)}')
        self.check_limits(LIMITS)
        if not 0 <= self.final_drop < 1:
            raise InputError(f'final_drop must be in [0, 1), got {self.final_drop}')
        if not 0 < self.crop_ratio <= 1:
            raise InputError(f'crop_ratio must be above 0 and at most 1, got {self.crop_ratio}')
        self.check_choices(CHOICES)
        self.check_statistics()
        self.forget_published()

    @property
    def widths(self):
        """The channels that the four stages return."""
        return tuple(planes * times for planes, times in zip(self.planes, self.expansions))

    @property
    def stages(self):
        """What each stage's blocks of their own are given, as the arguments of :class:`resnest.gluon.nn.Bottleneck`."""
        return [dict(planes=group or planes, channels=width, cardinality=planes // group if group else self.cardinality,
                     bottleneck_width=64 if group else self.bottleneck_width)
                for planes, width, group in zip(self.planes, self.widths, self.group_widths)]

    @property
    def depth(self):
        """Number of convolution and dense layers on the longest path, as the names count them."""
        return 3 * sum(self.blocks) + 2


def option_names():
    """Names of what :func:`override` can change."""
    return VariantSpec.options()


GLUONCV = {'url': GLUONCV_URL}
RESNET_D = {'attention': 'none', 'avd': False, **GLUONCV}
RESNET = {'stem': 'plain', 'shortcut': 'strided', **RESNET_D}
RESNEXT = {'cardinality': 32, 'bottleneck_width': 4, **RESNET}

VARIANTS.update({spec.name: spec for spec in (
    VariantSpec('resnest14', (1, 1, 1, 1), top1=75.75, parameters=10_611_688, **GLUONCV,
                sha1='7e0b0cae2fd7e9084d1e498b858af1429a6eb1cb'),
    VariantSpec('resnest26', (2, 2, 2, 2), top1=78.68, parameters=17_069_448, **GLUONCV,
                sha1='364590740605b6a2b95f5bb77436d781a817436f'),
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
    VariantSpec('resnet50_v1b', (3, 4, 6, 3), **RESNET, top1=77.67, parameters=25_557_032,
                sha1='0ecdba34691be172036ddf244ff1b2eade75ffde'),
    VariantSpec('resnet101_v1b', (3, 4, 23, 3), **RESNET, top1=79.2, parameters=44_549_160,
                sha1='a455932aa95cb7dcfa05fd040b9b5a5660733c39'),
    VariantSpec('resnet152_v1b', (3, 8, 36, 3), **RESNET, top1=79.69, parameters=60_192_808,
                sha1='a5a61ee1ce5ab7c09720775b223360f3c60e211d'),
    VariantSpec('resnet50_v1d', (3, 4, 6, 3), **RESNET_D, top1=79.15, parameters=25_576_264,
                sha1='117a384ecf61490eb31ea147eb0e61e6d2b8a449'),
    VariantSpec('resnet101_v1d', (3, 4, 23, 3), **RESNET_D, top1=80.51, parameters=44_568_392,
                sha1='1b2b825feff86b0354642a4ab59f9b6e35e47338'),
    VariantSpec('resnet152_v1d', (3, 8, 36, 3), **RESNET_D, top1=80.61, parameters=60_212_040,
                sha1='cddbc86ff24a5544f57242ded0acb14ef1fbd437'),
    VariantSpec('resnext50_32x4d', (3, 4, 6, 3), **RESNEXT, top1=79.32, parameters=25_028_904,
                sha1='4ecf62e29336e0cbc5a2f844652635a330928b5a'),
    VariantSpec('resnext101_32x4d', (3, 4, 23, 3), **RESNEXT, top1=80.37, parameters=44_177_704,
                sha1='8654ca5d0ba30a7868c5b42a7d4cc0ff2ba04dbc'),
    VariantSpec('resnext101_64x4d', (3, 4, 23, 3), **{**RESNEXT, 'cardinality': 64}, top1=80.69, parameters=83_455_272,
                sha1='2f0d1c9d343d140775bfa7548dd3a881a35855de'),
    VariantSpec('se_resnext50_32x4d', (3, 4, 6, 3), **{**RESNEXT, 'attention': 'se'}, top1=79.95,
                parameters=27_559_896, sha1='7906e0e16013ef8d195cbc05463cc37783ec7a8a'),
    VariantSpec('se_resnext101_32x4d', (3, 4, 23, 3), **{**RESNEXT, 'attention': 'se'}, top1=80.91,
                parameters=48_955_416, sha1='688e238985d45a38803c62cf345af2813d0e8aa0'),
    VariantSpec('skresnet50', (3, 4, 6, 3), **{**RESNET, 'attention': 'sk', 'url': None}, halves=True,
                rounding=8, parameters=25_803_160),
    VariantSpec('skresnext50_32x4d', (3, 4, 6, 3), **{**RESNEXT, 'attention': 'sk', 'url': None},
                parameters=27_479_784),
)})


def our_name(name):
    """Our name of a network, of timm's, which may go on with a tag (``'resnest50d.in1k'``); others stay as they are."""
    if not isinstance(name, str):
        return name
    plain = name.partition('.')[0]
    return TIMM.get(plain, plain if plain in VARIANTS else name)


def find_variant(name):
    """The row of a name, ours or timm's; raises InputError, with the nearest name, where there is none."""
    name = our_name(name)
    if not isinstance(name, str) or name not in VARIANTS:
        raise no_such_model(name, VARIANTS)
    return VARIANTS[name]


def no_such_model(name, known, task=None):
    """The InputError about a name that is none of the known ones, the networks of a task other than classification
    where one is told."""
    listed = f'resnest models --task {task} lists all' if task else 'resnest models lists all'
    if task and our_name(name) in VARIANTS:
        return InputError(f"'{one_line(name)}' is a classifier, not a network of {task}; {listed} of those")
    return InputError(f"there is no model '{one_line(name)}'{did_you_mean(name, known, listed)}")
