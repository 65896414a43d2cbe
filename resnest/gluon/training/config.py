"""The recipe: one dataclass, from which the options of train.py and the keys of its YAML files are made."""
import dataclasses
import difflib
import math
import typing
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError

from .methods.finetuning import STAGES

__all__ = ['FIELDS', 'TrainConfig', 'field_type', 'option_of', 'problem']


def _option(default, help, *names, least=None, above=None, below=None, choices=None, **settings):
    """A field: its help, further option strings, the limits of its value, and what argparse should know besides."""
    return dataclasses.field(default=default, metadata={
        'help': help, 'names': names, 'least': least, 'above': above, 'below': below, 'choices': choices,
        'settings': settings})


def _switch(help, *names):
    return _option(False, help, *names)


@dataclass
class TrainConfig:
    """Every choice of a training run, with the defaults of the paper (section 5.1).

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    model: str = _option('resnest50', 'network; python -m resnest models lists them')
    model_options: Optional[dict] = _option(None, "what differs from the model's row of the table: radix=0 "
                                            'blocks=[1,1,1,1]; get_model wants the same to load the weights')
    rec_train: Optional[str] = _option(None, 'training data: a folder of shards, a .rec file or a pattern')
    rec_val: Optional[str] = _option(None, 'validation data, in the same forms')
    num_classes: Optional[int] = _option(None, "classes; the data's manifest or labels tell unless given", least=1)
    input_size: Optional[int] = _option(None, "image side in pixels; the model's own unless given", '--crop-size',
                                        least=1)
    crop_ratio: Optional[float] = _option(None, "validation crop / resized short edge; the model's own unless given",
                                          above=0)
    augment: str = _option('standard', 'training images: standard (random resized crop, mirror, colour), with '
                           'autoaugment or randaugment besides, or none (the validation crop)',
                           choices=('standard', 'autoaugment', 'randaugment', 'none'))
    mixup: bool = _switch('mix each batch with its reverse (section 4.2)')
    mixup_alpha: float = _option(0.2, 'shares are drawn from Beta(alpha, alpha)', above=0)
    mixup_mode: str = _option('sample', 'a share for each sample, as the paper has it, or one for the batch',
                              choices=('sample', 'batch'))
    mixup_off_epoch: int = _option(0, 'epochs at the end without mixup', least=0)
    pretrained: bool = _switch('start from the published weights, with a new classifier for other than 1000 classes')
    resume_params: Optional[str] = _option(None, 'start from a .params file, with a new classifier where it is for '
                                           'another number of classes')
    freeze: Optional[list] = _option(None, f"stages that stay as they are loaded: {', '.join(STAGES)}",
                                     choices=tuple(STAGES))
    backbone_lr_factor: float = _option(1.0, 'learning rate of all but the classifier, relative to its own', above=0)
    sharding: str = _option('global', 'global: all workers read all shards, in one order; local: each worker reads '
                            'the shards that its machine has', choices=('global', 'local'))
    skip_bad: bool = _switch('put the next record in the place of one that cannot be read, and count it')
    batch_size: int = _option(128, 'images at a time on each worker', least=1)
    accumulate: int = _option(1, 'batches whose gradients are added up to one step; one worker that accumulates N '
                              'stands for N workers', least=1)
    num_epochs: int = _option(270, 'epochs', least=1)
    lr: Optional[float] = _option(None, 'learning rate of one batch of one worker, multiplied by the workers and by '
                                  '--accumulate; 0.1 x batch size / 256 unless given', least=0)
    warmup_epochs: Optional[float] = _option(None, 'epochs of linear warm-up from 0; 5, or all where there are fewer, '
                                             'unless given', least=0)
    momentum: float = _option(0.9, "Nesterov's momentum", least=0, below=1)
    wd: float = _option(1e-4, 'weight decay, on the weights of convolutions and dense layers', least=0)
    clip_gradient: Optional[float] = _option(None, 'largest norm of the whole gradient; longer ones are scaled down',
                                             above=0)
    ema_decay: float = _option(0.0, 'moving average of the weights, which is then what is evaluated and saved as '
                               'best.params; 0 is none, 0.9999 is usual', least=0, below=1)
    label_smoothing: float = _option(0.0, 'label smoothing; 0.1 where no value is given', least=0, below=1, nargs='?',
                                     const=0.1)
    last_gamma: bool = _switch('start the last scale of each block at zero')
    dropblock_prob: float = _option(0.0, 'DropBlock probability at the end of its linear ramp; the paper has 0.1',
                                    least=0, below=1)
    dtype: str = _option('float32', 'float16: mixed precision, with loss scaling and float32 master weights; GPUs only',
                         choices=('float32', 'float16'))
    seed: int = _option(0, 'seed of every random choice', least=0)
    deterministic: bool = _switch("the same bits in each run on GPUs and on more than two workers too (MXNet's "
                                  "deterministic operators, Horovod's tensor fusion off: slower)")
    no_cuda: bool = _switch('use the CPU even where there is a GPU')
    num_workers: int = _option(2, 'threads that decode images', '-j', least=0)
    fp16_compression: bool = _switch('Horovod sends gradients as float16')
    fusion_mb: Optional[float] = _option(None, 'MB of gradients that Horovod sends at once; 0 sends each tensor alone; '
                                         "Horovod's own unless given", least=0)
    cycle_ms: Optional[float] = _option(None, "milliseconds between Horovod's rounds; its own, on CPUs 5, unless given",
                                        above=0)
    save_dir: str = _option('params', 'folder of what the run writes')
    save_frequency: int = _option(10, 'epochs between checkpoints', least=1)
    save_steps: int = _option(0, 'steps between checkpoints within an epoch; 0 is none', least=0)
    keep: int = _option(3, 'checkpoints that are kept: the last ones', least=1)
    eval_frequency: int = _option(1, 'epochs between evaluations', least=1)
    log_interval: int = _option(50, 'steps between updates of the progress bar', least=1)
    skip_nonfinite: int = _option(0, 'steps whose loss is not finite that are left out before the run gives up',
                                  least=0)
    resume: Optional[str] = _option(None, "a checkpoint to go on from, or 'auto' for the newest whole one in "
                                    '--save-dir, if any')

    def __post_init__(self):
        for name in FIELDS:
            found = problem(name, getattr(self, name))
            if found:
                raise InputError(f'{option_of(name)} {found}')
        if self.crop_ratio is not None and self.crop_ratio > 1:
            raise InputError(f'--crop-ratio must be at most 1, got {self.crop_ratio}')
        for name in ('warmup_epochs', 'mixup_off_epoch'):
            value = getattr(self, name)
            if value is not None and value > self.num_epochs:
                raise InputError(f'{option_of(name)} {value:g} is more than --num-epochs {self.num_epochs}')
        if self.deterministic and self.fusion_mb:
            raise InputError('--deterministic turns tensor fusion off, --fusion-mb sets it; leave one of them out')
        if self.dtype == 'float16' and self.no_cuda:
            raise InputError('--dtype float16 needs a GPU; leave out --no-cuda, or use --dtype float32')
        if self.pretrained and self.resume_params:
            raise InputError('--pretrained and --resume-params both say what to start from; leave one of them out')
        self.freeze = [stage for stage in STAGES if stage in (self.freeze or ())] or None
        if self.freeze and not (self.pretrained or self.resume_params or self.resume not in (None, 'auto')):
            raise InputError('--freeze keeps what was loaded; say by --pretrained or --resume-params what that is')
        if self.freeze == list(STAGES) and self.backbone_lr_factor != 1:
            raise InputError('--freeze of all stages leaves nothing to --backbone-lr-factor; leave one of them out')

    @property
    def warmup(self):
        """Epochs of warm-up."""
        return min(5.0, self.num_epochs) if self.warmup_epochs is None else self.warmup_epochs

    @property
    def worker_lr(self):
        """Learning rate of one worker's share of a step, to be multiplied by the number of workers."""
        return self.accumulate * (0.1 * self.batch_size / 256 if self.lr is None else self.lr)

    def mixes(self, epoch):
        """Whether mixup is on in an epoch, counted from 0."""
        return self.mixup and epoch < self.num_epochs - self.mixup_off_epoch


FIELDS = {field.name: field for field in dataclasses.fields(TrainConfig)}


def option_of(name):
    """The option string of a field."""
    return '--' + name.replace('_', '-')


def field_type(name):
    """``(type, optional)`` of a field: bool, int, float, str, list or dict, and whether it may be None."""
    kinds = [kind for kind in typing.get_args(FIELDS[name].type) if kind is not type(None)]
    return (kinds[0], True) if kinds else (FIELDS[name].type, False)


def problem(name, value):
    """What is wrong with a field's value, alone: 'must be at least 1, got 0'; None where nothing is."""
    limits = FIELDS[name].metadata
    if value is None:
        return None
    if isinstance(value, list):
        return next((f"has no choice '{each}'; did you mean "
                     f"'{difflib.get_close_matches(str(each), limits['choices'], 1, 0)[0]}'?"
                     for each in value if each not in limits['choices']), None)
    if limits['choices'] and value not in limits['choices']:
        return f"must be one of {', '.join(limits['choices'])}, got {value}"
    if isinstance(value, float) and not math.isfinite(value):
        return f'must be finite, got {value}'
    if limits['least'] is not None and not value >= limits['least']:
        return f"must be at least {limits['least']}, got {value}"
    if limits['above'] is not None and not value > limits['above']:
        return f"must be above {limits['above']}, got {value}"
    if limits['below'] is not None and not value < limits['below']:
        return f"must be below {limits['below']}, got {value}"
    return None
