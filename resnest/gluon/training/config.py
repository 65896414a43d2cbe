"""The recipe of a run: the choices that any task has, as one dataclass.

A task derives its own dataclass from it, with fields of its own. The options of its command and the keys of its YAML
files are made from the fields.
"""
import dataclasses
import difflib
import math
import os
import re
import typing
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError
from resnest.reading import CONTROL, one_line

__all__ = ['STAGES', 'TrainConfig', 'field_type', 'fields_of', 'option', 'option_of', 'problem', 'settled', 'switch']

LARGEST = 2 ** 31 - 1       # of a whole number: what mxnet takes
LONGEST = 4096      # characters: PATH_MAX of Linux
NO_TEXT = re.compile('[\ud800-\udfff]')      # names of other bytes than UTF-8: no YAML or JSON could keep them
STAGES = ('stem', 'layer1', 'layer2', 'layer3', 'layer4')
KINDS = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text', list: 'a list: [a, b]',
         dict: 'a mapping: {radix: 0}'}


def option(default, help, *names, least=None, most=None, above=None, below=None, choices=None, resume='fixed',
           **settings):
    """A field of a recipe.

    Parameters
    ----------
    default, help
        Its default, and what ``--help`` says.
    names : str
        Further option strings, such as older ones.
    least, most, above, below, choices
        Limits of its value.
    resume : {'fixed', 'free', 'own', 'scaled'}
        Whether a run may go on with another value: no; yes, since the value does not bear on the result; no, but None
        stands for the model's or the data's own; what it comes to on all ranks together must stay.
    settings
        What argparse should know besides.
    """
    return dataclasses.field(default=default, metadata={
        'help': help, 'names': names, 'least': least, 'most': most, 'above': above, 'below': below, 'choices': choices,
        'resume': resume, 'settings': settings})


def switch(help, *names, resume='fixed'):
    """A field that is on or off, and off unless given."""
    return option(False, help, *names, resume=resume)


@dataclass
class TrainConfig:
    """Every choice of a training run that does not depend on its task, with the defaults of the paper (section 5.1).

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    model: Optional[str] = option(None, 'network; python -m resnest models lists them')
    model_options: Optional[dict] = option(None, "what differs from the model's row of the table: radix=0 "
                                           'blocks=[1,1,1,1]; get_model wants the same to load the weights')
    pretrained: bool = switch('start from the published weights, with a new classifier for other than 1000 classes')
    resume_params: Optional[str] = option(None, 'start from a .params file, with a new classifier where it is for '
                                          'another number of classes', resume='free')
    freeze: Optional[list] = option(None, f"stages that stay as they are loaded: {', '.join(STAGES)}", choices=STAGES)
    backbone_lr_factor: float = option(1.0, 'learning rate of all but the head, relative to its own', above=0)
    sharding: str = option('global', 'global: all ranks read all shards, in one order; local: each rank reads '
                           'the shards that its machine has', choices=('global', 'local'))
    skip_bad: bool = switch('put the next record in the place of one that cannot be read, and count it', resume='free')
    batch_size: int = option(128, 'images at a time on each rank', least=1, resume='scaled')
    accumulate: int = option(1, 'batches whose gradients are added up to one step; one rank that accumulates N '
                             'stands for N ranks', least=1, resume='scaled')
    num_epochs: int = option(270, 'epochs', least=1)
    lr: Optional[float] = option(None, 'learning rate of one batch of one rank, multiplied by the ranks and by '
                                 '--accumulate; 0.1 x batch size / 256 unless given', least=0, resume='scaled')
    warmup_epochs: Optional[float] = option(None, 'epochs of linear warm-up from 0; 5, or all where there are fewer, '
                                            'unless given', least=0, resume='scaled')
    momentum: float = option(0.9, "Nesterov's momentum", least=0, below=1)
    wd: float = option(1e-4, 'weight decay, on the weights of convolutions and dense layers', least=0)
    clip_gradient: Optional[float] = option(None, 'largest norm of the whole gradient; longer ones are scaled down',
                                            above=0)
    ema_decay: float = option(0.0, 'moving average of the weights, which is then what is evaluated and saved as '
                              'best.params; 0 is none, 0.9999 is usual', least=0, below=1)
    dtype: str = option('float32', 'float16: mixed precision, with loss scaling and float32 master weights; GPUs only',
                        choices=('float32', 'float16'))
    seed: int = option(0, 'seed of every random choice', least=0)
    deterministic: bool = switch("the same bits in each run on GPUs and on more than two ranks too (MXNet's "
                                 "deterministic operators, Horovod's tensor fusion off: slower)", resume='free')
    no_cuda: bool = switch('use the CPU even where there is a GPU', resume='free')
    num_workers: int = option(2, 'threads that decode images', '-j', least=0, most=1024, resume='free')
    fp16_compression: bool = switch('Horovod sends gradients as float16')
    fusion_mb: Optional[float] = option(None, 'MB of gradients that Horovod sends at once; 0 sends each tensor alone; '
                                        "Horovod's own unless given", least=0, most=1e6, resume='free')
    cycle_ms: Optional[float] = option(None, "milliseconds between Horovod's rounds; its own, on CPUs 5, unless given",
                                       above=0, most=1e6, resume='free')
    save_dir: str = option('params', 'folder of what the run writes', resume='free')
    save_frequency: int = option(10, 'epochs between checkpoints', least=1, resume='free')
    save_steps: int = option(0, 'steps between checkpoints within an epoch; 0 is none', least=0, resume='free')
    keep: int = option(3, 'checkpoints that are kept: the last ones', least=1, resume='free')
    eval_frequency: int = option(1, 'epochs between evaluations', least=1, resume='free')
    log_interval: int = option(50, 'steps between updates of the progress bar', least=1, resume='free')
    skip_nonfinite: int = option(0, 'steps whose loss is not finite that are left out before the run gives up',
                                 least=0, resume='free')
    resume: Optional[str] = option(None, "a checkpoint to go on from, or 'auto' for the newest whole one in "
                                   '--save-dir, if any', resume='free')

    def __post_init__(self):
        for name, field in fields_of(self).items():
            setattr(self, name, settled(field, getattr(self, name)))
            found = problem(field, getattr(self, name))
            if found:
                raise InputError(f'{option_of(name)} {found}')
        self.check_epochs('warmup_epochs')
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

    def check_epochs(self, name):
        """Raise InputError where the field ``name`` is more epochs than the run has."""
        value = getattr(self, name)
        if value is not None and value > self.num_epochs:
            raise InputError(f'{option_of(name)} {value:g} is more than --num-epochs {self.num_epochs}')

    @classmethod
    def add_older_options(cls, parser):
        """Add to an argument parser what command lines of before may still have."""

    @property
    def warmup(self):
        """Epochs of warm-up."""
        return min(5.0, self.num_epochs) if self.warmup_epochs is None else self.warmup_epochs

    @property
    def rank_lr(self):
        """Learning rate of one rank's share of a step, to be multiplied by the number of ranks."""
        return self.accumulate * (0.1 * self.batch_size / 256 if self.lr is None else self.lr)


def fields_of(config):
    """``{name: field}`` of a recipe or its class."""
    return {field.name: field for field in dataclasses.fields(config)}


def option_of(name):
    """The option string of a field."""
    return '--' + name.replace('_', '-')


def field_type(field):
    """``(type, optional)`` of a field: bool, int, float, str, list or dict, and whether it may be None."""
    kinds = [kind for kind in typing.get_args(field.type) if kind is not type(None)]
    return (kinds[0], True) if kinds else (field.type, False)


def settled(field, value):
    """A value as its field holds it: 1 as 1.0 where that is a number, a tuple as a list, a path as a text without ~."""
    kind, _ = field_type(field)
    if kind is float and type(value) is int and abs(value) < 1 << 1000:
        return float(value)
    if kind is list and isinstance(value, tuple):
        return list(value)
    if kind is str and isinstance(value, (str, os.PathLike)):
        return os.path.expanduser(os.fspath(value))
    return value


def problem(field, value):
    """What is wrong with a field's value, alone: 'must be at least 1, got 0', on one line; None where nothing is."""
    limits, (kind, optional) = field.metadata, field_type(field)
    if value is None and optional:
        return None
    told = one_line(value if isinstance(value, str) else repr(value), 60) or 'nothing'
    if type(value) is not kind:
        told = one_line(repr(value), 60)
        return f'must be {KINDS[kind]}, got {told}'
    if kind is list:
        return next((f"has no choice '{one_line(each, 60)}'; did you mean '{_nearest(each, limits['choices'])}'?"
                     for each in value if each not in limits['choices']), None)
    if limits['choices'] and value not in limits['choices']:
        return f"must be one of {', '.join(limits['choices'])}, got {told}"
    if kind is str and (not 0 < len(value) < LONGEST or CONTROL.search(value) or NO_TEXT.search(value)):
        return f'must be a text without control characters, got {told}'
    if kind is str and value.startswith('~'):
        return f'must be a path in the folder of a user that there is, got {told}'
    if kind is float and not math.isfinite(value):
        return f'must be finite, got {told}'
    if kind is int and value > LARGEST:
        return f'must be at most {LARGEST}, got {told}'
    if limits['least'] is not None and not value >= limits['least']:
        return f"must be at least {limits['least']}, got {told}"
    if limits['most'] is not None and not value <= limits['most']:
        return f"must be at most {limits['most']}, got {told}"
    if limits['above'] is not None and not value > limits['above']:
        return f"must be above {limits['above']}, got {told}"
    if limits['below'] is not None and not value < limits['below']:
        return f"must be below {limits['below']}, got {told}"
    return None


def _nearest(value, choices):
    return difflib.get_close_matches(one_line(value, 60), choices, 1, 0)[0]
