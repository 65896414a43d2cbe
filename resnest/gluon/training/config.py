"""The recipe: one dataclass, from which the options of train.py are made."""
import dataclasses
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError

__all__ = ['TrainConfig', 'add_options', 'from_options']


def _option(default, help, *names, **settings):
    """A field and its option; ``names`` are further option strings."""
    return dataclasses.field(default=default, metadata={'help': help, 'names': names, 'settings': settings})


def _switch(help, *names):
    return _option(False, help, *names, action='store_true')


@dataclass
class TrainConfig:
    """Every choice of a training run, with the defaults of the paper (section 5.1)."""
    model: str = _option('resnest50', 'network; python -m resnest models lists them')
    rec_train: Optional[str] = _option(None, 'training data: a folder of shards, a .rec file or a pattern')
    rec_val: Optional[str] = _option(None, 'validation data, in the same forms')
    num_classes: Optional[int] = _option(None, "classes; from the data's manifest unless given", type=int)
    input_size: Optional[int] = _option(None, "image side in pixels; the model's own unless given",
                                        '--crop-size', type=int)
    crop_ratio: Optional[float] = _option(None, "validation crop / resized short edge; the model's own unless given",
                                          type=float)
    augment: str = _option('standard', 'training images: standard (random resized crop, mirror, colour), with '
                           'autoaugment or randaugment besides, or none (the validation crop)',
                           choices=('standard', 'autoaugment', 'randaugment', 'none'))
    auto_aug: bool = _switch('the same as --augment autoaugment', '--auto_aug')
    sharding: str = _option('global', 'global: all workers read all shards, in one order; local: each worker reads '
                            'the shards that its machine has', choices=('global', 'local'))
    skip_bad: bool = _switch('put the next record in the place of one that cannot be read, and count it')
    batch_size: int = _option(128, 'images a step on each worker', type=int)
    num_epochs: int = _option(270, 'epochs', type=int)
    lr: Optional[float] = _option(None, "learning rate of one worker, multiplied by their number; "
                                  "0.1 x batch size / 256 unless given", type=float)
    warmup_epochs: Optional[float] = _option(None, 'epochs of linear warm-up from 0; 5, or all where there are fewer, '
                                             'unless given', type=float)
    momentum: float = _option(0.9, "Nesterov's momentum", type=float)
    wd: float = _option(1e-4, 'weight decay, on the weights of convolutions and dense layers', type=float)
    label_smoothing: float = _option(0.0, 'label smoothing; 0.1 where no value is given', nargs='?', const=0.1,
                                     type=float)
    last_gamma: bool = _switch('start the last scale of each block at zero')
    dropblock_prob: float = _option(0.0, 'DropBlock probability at the end of its linear ramp; the paper has 0.1',
                                    type=float)
    seed: int = _option(0, 'seed of every random choice', type=int)
    no_cuda: bool = _switch('use the CPU even where there is a GPU')
    num_workers: int = _option(2, 'threads that decode images', '-j', type=int)
    save_dir: str = _option('params', 'folder of what the run writes')
    save_frequency: int = _option(10, 'epochs between checkpoints', type=int)
    eval_frequency: int = _option(1, 'epochs between evaluations', type=int)
    log_interval: int = _option(50, 'steps between updates of the progress bar', type=int)
    resume: Optional[str] = _option(None, "a checkpoint to go on from, or 'auto' for the newest in --save-dir, if any")

    def __post_init__(self):
        if self.auto_aug:
            self.augment = 'autoaugment'
        limits = {'batch_size': 1, 'num_epochs': 1, 'num_workers': 0, 'save_frequency': 1, 'eval_frequency': 1,
                  'log_interval': 1, 'num_classes': 1, 'input_size': 1, 'warmup_epochs': 0, 'momentum': 0, 'wd': 0,
                  'label_smoothing': 0, 'dropblock_prob': 0, 'lr': 0, 'seed': 0}
        for name, least in limits.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise InputError(f"--{name.replace('_', '-')} must be at least {least}, got {value}")
        for name in ('label_smoothing', 'dropblock_prob', 'momentum'):
            if not getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} must be below 1, got {getattr(self, name)}")
        if self.crop_ratio is not None and not 0 < self.crop_ratio <= 1:
            raise InputError(f'--crop-ratio must be above 0 and at most 1, got {self.crop_ratio}')
        if self.warmup_epochs is not None and self.warmup_epochs > self.num_epochs:
            raise InputError(f'--warmup-epochs {self.warmup_epochs:g} is more than --num-epochs {self.num_epochs}')

    @property
    def warmup(self):
        """Epochs of warm-up."""
        return min(5.0, self.num_epochs) if self.warmup_epochs is None else self.warmup_epochs

    @property
    def worker_lr(self):
        """Learning rate before it is multiplied by the number of workers."""
        return 0.1 * self.batch_size / 256 if self.lr is None else self.lr


def add_options(parser):
    """One option a field: ``--field-name``, with the field's default, and the names it had before."""
    for field in dataclasses.fields(TrainConfig):
        settings = dict(field.metadata['settings'])
        if field.default not in (None, False):
            settings['help'] = field.metadata['help'] + ' (default: %(default)s)'
        else:
            settings['help'] = field.metadata['help']
        if settings.get('action') != 'store_true':
            word = {int: 'N', float: 'X'}.get(settings.get('type'), field.name.split('_')[-1].upper())
            settings['metavar'] = None if 'choices' in settings else word
        parser.add_argument('--' + field.name.replace('_', '-'), *field.metadata['names'], dest=field.name,
                            default=field.default, **settings)


def from_options(options):
    """The :class:`TrainConfig` of parsed options; raises InputError for a value out of range."""
    return TrainConfig(**{field.name: getattr(options, field.name) for field in dataclasses.fields(TrainConfig)})
