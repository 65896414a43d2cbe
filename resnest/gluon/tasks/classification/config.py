"""The recipe of a classifier: what a run of any task has, and what only this one needs."""
import argparse
from dataclasses import dataclass
from typing import Optional

from resnest.gluon.training.config import TrainConfig
from resnest.gluon.training.fields import option, switch

__all__ = ['ClassificationConfig']

# Of the original's command lines: what they ask for is always done, or found beside the data.
NO_EFFECT = {'--no-wd': 'no weight decay on biases and normalizations', '--use-rec': 'data are RecordIO shards'}


@dataclass
class ClassificationConfig(TrainConfig):
    """Every choice of a training run, with the defaults of the paper (section 5.1).

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    model: str = option('resnest50', 'network; resnest models lists them', group='network')
    rec_train: Optional[str] = option(None, 'training data: a folder of shards, a .rec file or a pattern',
                                      resume='free', group='data')
    rec_val: Optional[str] = option(None, 'validation data, in the same forms', resume='free', group='data')
    num_classes: Optional[int] = option(None, "classes; the data's manifest or labels tell unless given", least=1,
                                        resume='own', group='data')
    input_size: Optional[int] = option(None, "image side in pixels; the model's own unless given", '--crop-size',
                                       least=1, most=1 << 14, resume='own', group='images')
    crop_ratio: Optional[float] = option(None, "validation crop / resized short edge; the model's own unless given",
                                         above=0, most=1, resume='own', group='images')
    augment: str = option('standard', 'training images: standard (random resized crop, mirror, colour), with '
                          'autoaugment or randaugment besides, or none (the validation crop)',
                          choices=('standard', 'autoaugment', 'randaugment', 'none'), group='images')
    mixup: bool = switch('mix each batch with its reverse (section 4.2)', group='regularization')
    mixup_alpha: float = option(0.2, 'shares are drawn from Beta(alpha, alpha)', above=0, group='regularization')
    mixup_mode: str = option('sample', 'a share for each sample, as the paper has it, or one for the batch',
                             choices=('sample', 'batch'), group='regularization')
    mixup_off_epoch: int = option(0, 'epochs at the end without mixup', least=0, group='regularization')
    label_smoothing: float = option(0.0, 'label smoothing; 0.1 where no value is given', least=0, below=1, nargs='?',
                                    const=0.1, group='regularization')
    last_gamma: bool = switch('start the last scale of each block at zero', group='network')
    dropblock_prob: float = option(0.0, 'DropBlock probability at the end of its linear ramp; the paper has 0.1',
                                   least=0, below=1, group='regularization')

    def __post_init__(self):
        super().__post_init__()
        self.check_epochs('mixup_off_epoch')

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
        """Whether mixup is on in an epoch, counted from 0."""
        return self.mixup and epoch < self.num_epochs - self.mixup_off_epoch
