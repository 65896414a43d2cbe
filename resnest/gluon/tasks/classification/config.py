"""The recipe of a classifier: what a run of any task has, and what only this one needs."""
import argparse
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.gluon.training.config import TrainConfig
from resnest.gluon.training.fields import needs, option, option_of, switch

__all__ = ['ClassificationConfig']

# Of the original's command lines: what they ask for is always done, or found beside the data.
NO_EFFECT = {'--no-wd': 'no weight decay on biases and normalizations', '--use-rec': 'data are RecordIO shards'}
RANDAUGMENT = needs('--augment randaugment', lambda recipe: recipe.augment == 'randaugment')
AUGMENT = needs('an --augment that is not none', lambda recipe: recipe.augment != 'none')
EITHER = 'is a folder of images, --rec-train and --rec-val are shards; leave out one or the other'    # --data-dir


@dataclass
class ClassificationConfig(TrainConfig):
    """Every choice of a training run, with the defaults of the paper (section 5.1).

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    of_use_with = {
        **TrainConfig.of_use_with, 'mixup_alpha': needs('--mixup', lambda recipe: recipe.mixup),
        'cutmix_alpha': needs('--cutmix', lambda recipe: recipe.cutmix),
        **dict.fromkeys(('randaugment_count', 'randaugment_magnitude'), RANDAUGMENT),
        **dict.fromkeys(('hflip', 'scale', 'ratio', 'color_jitter'), AUGMENT),
        'data_dir': (EITHER, lambda recipe: not (recipe.rec_train or recipe.rec_val)),
        **dict.fromkeys(('rec_train', 'rec_val'), (EITHER, lambda recipe: not recipe.data_dir)),
        'val_fraction': ('is for --data-dir; what shards hold out is said when they are prepared',
                         lambda recipe: not (recipe.rec_train or recipe.rec_val))}

    model: Optional[str] = option(None, 'network; resnest models lists them; that of the weights of --resume-params, '
                                  'else resnest50, unless given', resume='own', group='network')
    rec_train: Optional[str] = option(None, 'training data: a folder of shards, a .rec file or a pattern',
                                      resume='free', group='data')
    rec_val: Optional[str] = option(None, 'validation data, in the same forms; the shards beside the training ones '
                                    'unless given', resume='free', group='data')
    data_dir: Optional[str] = option(None, 'instead of shards: a folder with one folder of images per class, or train/ '
                                     'and val/ with such folders', resume='free', group='data')
    val_fraction: Optional[float] = option(None, 'share of each class that is held out for validation, by the seed and '
                                           'the names, of a --data-dir without val/; 0.1 unless given', above=0,
                                           below=1, group='data')
    num_classes: Optional[int] = option(None, "classes; the data's manifest or labels tell unless given", least=1,
                                        resume='own', group='data')
    input_size: Optional[int] = option(None, "image side in pixels; the model's own unless given", '--crop-size',
                                       least=1, most=1 << 14, resume='own', group='images')
    crop_ratio: Optional[float] = option(None, "validation crop / resized short edge; the model's own unless given",
                                         above=0, most=1, resume='own', group='images')
    augment: str = option('standard', 'training images: standard (random resized crop, mirror, colour), with '
                          'autoaugment or randaugment besides, or none (the validation crop)',
                          choices=('standard', 'autoaugment', 'randaugment', 'none'), group='images')
    hflip: float = option(0.5, 'probability of the mirror image', least=0, most=1, group='images')
    scale: list = option((0.08, 1.0), "least and largest area of the random crop, as a share of the image's",
                         items=float, length=2, above=0, most=1, metavar=('LOW', 'HIGH'), group='images')
    ratio: list = option((0.75, 4 / 3), 'least and largest aspect of the random crop, width / height', items=float,
                         length=2, least=0.01, most=100, metavar=('LOW', 'HIGH'), group='images')
    color_jitter: float = option(0.4, 'brightness, contrast and saturation change by up to this share each, '
                                 'lighting by a quarter of it; 0 is neither', least=0, most=1, group='images')
    randaugment_count: int = option(2, 'operations of --augment randaugment on each image', least=1, most=100,
                                    group='images')
    randaugment_magnitude: float = option(9.0, 'their magnitude', least=0, most=30, group='images')
    random_erasing: float = option(0.0, 'probability that a rectangle of an image is filled with random values; 0.25 '
                                   'is usual', least=0, most=1, group='images')
    interpolation: Optional[str] = option(None, "how images are resized; the model's own unless given",
                                          choices=('bilinear', 'bicubic'), resume='own', group='images')
    mean: Optional[list] = option(None, "mean of the pixels (red, green, blue; 0 to 1) for normalization; the model's "
                                  'own unless given', items=float, length=3, least=0, most=1, metavar=tuple('RGB'),
                                  resume='own', group='images')
    std: Optional[list] = option(None, "their standard deviation; the model's own unless given", items=float, length=3,
                                 least=1e-6, most=1, metavar=tuple('RGB'), resume='own', group='images')
    best: str = option('top1', 'figure by which best.params is chosen', choices=('top1', 'top5', 'val_loss'),
                       group='output')
    mixup: bool = switch('mix each batch with its reverse (section 4.2)', group='regularization')
    mixup_alpha: float = option(0.2, 'shares are drawn from Beta(alpha, alpha)', least=0.001, most=1000,
                                group='regularization')
    cutmix: bool = switch('paste a box of each image into the one at its place in the reversed batch; with --mixup '
                          'each batch draws one of the two', group='regularization')
    cutmix_alpha: float = option(1.0, 'areas outside of the boxes are drawn from Beta(alpha, alpha)', least=0.001,
                                 most=1000, group='regularization')
    mixup_mode: str = option('sample', 'a share, or a box, for each sample, as the paper of mixup has it, or one for '
                             'the batch', choices=('sample', 'batch'), group='regularization')
    mixup_off_epoch: int = option(0, 'epochs at the end without mixup and CutMix', least=0, group='regularization')
    label_smoothing: float = option(0.0, 'label smoothing; 0.1 where no value is given', least=0, below=1, nargs='?',
                                    const=0.1, group='regularization')
    last_gamma: bool = switch('start the last scale of each block at zero', group='network')
    dropblock_prob: float = option(0.0, 'DropBlock probability at the end of its linear ramp; the paper has 0.1',
                                   least=0, below=1, group='regularization')
    drop_path: float = option(0.0, 'stochastic depth: probability that a sample leaves out the last block, which grows '
                              'linearly over the blocks', least=0, below=1, group='regularization')

    def __post_init__(self):
        super().__post_init__()
        self.check_epochs('mixup_off_epoch')
        for name in ('scale', 'ratio'):
            low, high = getattr(self, name)
            if low > high:
                raise InputError(f'{option_of(name)} {low:g} {high:g}: the smaller number comes first')

    @classmethod
    def add_older_options(cls, parser):
        parser.add_argument('--auto-aug', '--auto_aug', dest='augment', action='store_const', const='autoaugment',
                            default=argparse.SUPPRESS, help='the same as --augment autoaugment')
        for string, text in NO_EFFECT.items():
            parser.add_argument(string, action='store_true', dest='ignored',
                                help=f'always so: {text}')
        parser.add_argument('--rec-train-idx', '--rec-val-idx', dest='ignored', metavar='FILE',
                            help='not needed: the .idx beside the .rec is taken')

    def mixes(self, epoch):
        """Whether images are mixed in an epoch, counted from 0."""
        return (self.mixup or self.cutmix) and epoch < self.num_epochs - self.mixup_off_epoch
