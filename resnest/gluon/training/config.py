"""The recipe of a run: the choices that any task has, as one dataclass.

A task derives its own dataclass from it, with fields of its own. The options of its command and the keys of its YAML
files are made from the fields.
"""
from dataclasses import dataclass
from typing import Optional

from resnest.errors import InputError

from .fields import fields_of, idle, needs, option, option_of, problem, settled, switch

__all__ = ['STAGES', 'TrainConfig']

STAGES = ('stem', 'layer1', 'layer2', 'layer3', 'layer4')
OPTIMIZERS = ('sgd', 'adam', 'adamw')
SCHEDULES = ('cosine', 'step', 'poly', 'constant')
STEP = needs('--lr-schedule step', lambda recipe: recipe.lr_schedule == 'step')


@dataclass
class TrainConfig:
    """Every choice of a training run that does not depend on its task, with the defaults of the paper (section 5.1).

    Raises InputError for a value out of range, and for values that contradict each other.
    """
    # No fields, and a task may have its own: learning rates for each sample of a batch, epochs of warm-up. That of
    # Adam is what Liu et al. (2022, https://arxiv.org/abs/2201.03545, table 5) have for AdamW: 4e-3 for 4096.
    usual_sgd_lr, usual_adam_lr, usual_warmup = 0.1 / 256, 0.001 / 1024, 5.0
    # Not a field: what each option is of use with, for :func:`.fields.idle`; a task adds its own.
    of_use_with = {
        'milestones': STEP, 'milestone_steps': STEP, 'lr_decay': STEP,
        'poly_power': needs('--lr-schedule poly', lambda recipe: recipe.lr_schedule == 'poly'),
        'min_lr': needs('--lr-schedule cosine or poly', lambda recipe: recipe.lr_schedule in ('cosine', 'poly')),
        'momentum': needs('--optimizer sgd', lambda recipe: recipe.optimizer == 'sgd')}

    model: Optional[str] = option(None, 'network; resnest models lists them', group='network')
    model_options: Optional[dict] = option(None, "what differs from the model's row of the table: radix=0 "
                                           'blocks=[1,1,1,1]', group='network')
    pretrained: bool = switch('start from the published weights, with a new classifier for other than 1000 classes',
                              group='network')
    resume_params: Optional[str] = option(None, 'start from a .params file, with a new classifier where it is for '
                                          'another number of classes', resume='free', group='network')
    freeze: Optional[list] = option(None, f"stages that stay as they are loaded: {', '.join(STAGES)}", choices=STAGES,
                                    group='network')
    sharding: str = option('global', 'global: all ranks read all shards, in one order; local: each rank reads '
                           'the shards that its machine has', choices=('global', 'local'), group='data')
    skip_bad: bool = switch('put the next record in the place of one that cannot be read, or leave it out in '
                            'validation, and count it', resume='free', group='data')
    batch_size: int = option(128, 'images at a time on each rank', least=1, resume='scaled', group='optimization')
    accumulate: int = option(1, 'batches whose gradients are added up to one step; one rank that accumulates N '
                             'stands for N ranks', least=1, resume='scaled', group='optimization')
    num_epochs: int = option(270, 'epochs', least=1, group='optimization')
    num_steps: Optional[int] = option(None, 'steps of the whole run, instead of --num-epochs; it ends within an epoch, '
                                      'where they do', least=1, group='optimization')
    lr: Optional[float] = option(None, 'learning rate of one batch of one rank, multiplied by the ranks and by '
                                 '--accumulate; 0.1 x batch size / 256 unless given, for Adam 0.001 x batch size / '
                                 '1024', least=0, resume='scaled', group='optimization')
    optimizer: str = option('sgd', "sgd: Nesterov's gradient; adam; adamw: Adam with decay apart from the gradient",
                            choices=OPTIMIZERS, group='optimization')
    lr_schedule: str = option('cosine', 'after the warm-up: half a cosine; step: by --lr-decay after each of '
                              '--milestones; poly: a power of what is left; or constant', choices=SCHEDULES,
                              group='optimization')
    min_lr: float = option(0.0, 'learning rate, as --lr, at the end of cosine and poly', least=0, resume='scaled',
                           group='optimization')
    milestones: Optional[list] = option(None, 'epochs after each of which step multiplies the rate by --lr-decay',
                                        items=int, least=1, group='optimization')
    milestone_steps: Optional[list] = option(None, 'steps after each of which it does so, instead of --milestones',
                                             items=int, least=1, group='optimization')
    lr_decay: float = option(0.1, 'factor of the learning rate at each of --milestones', above=0, below=1,
                             group='optimization')
    poly_power: float = option(0.9, 'power of poly', above=0, group='optimization')
    warmup_epochs: Optional[float] = option(None, 'epochs of linear warm-up from 0; 5, or all where there are fewer, '
                                            'unless given', least=0, resume='scaled', group='optimization')
    warmup_steps: Optional[int] = option(None, 'steps of linear warm-up, instead of --warmup-epochs', least=0,
                                         group='optimization')
    warmup_factor: float = option(0.0, 'factor of the learning rate at the first step of the warm-up', least=0, below=1,
                                  group='optimization')
    momentum: float = option(0.9, "Nesterov's momentum", least=0, below=1, group='optimization')
    wd: Optional[float] = option(None, 'weight decay, on the weights of convolutions and dense layers; 0.0001, for '
                                 'adamw 0.05, unless given', least=0, resume='scaled', group='optimization')
    backbone_lr_factor: float = option(1.0, 'learning rate of all but the head, relative to its own', above=0,
                                       group='optimization')
    clip_gradient: Optional[float] = option(None, 'largest norm of the whole gradient; longer ones are scaled down',
                                            above=0, group='optimization')
    ema_decay: float = option(0.0, 'moving average of the weights, which is then what is evaluated and saved as '
                              'best.params; 0 is none, 0.9999 is usual', least=0, below=1, group='optimization')
    dtype: str = option('float32', 'mixed precision with float32 master weights: float16, with loss scaling, on GPUs '
                        'only; bfloat16 on CPUs that multiply in it (AVX512-BF16, AMX)',
                        choices=('float32', 'float16', 'bfloat16'), group='running')
    seed: int = option(0, 'seed of every random choice', least=0, group='running')
    deterministic: bool = switch("the same bits in each run on GPUs and on more than two ranks too (MXNet's "
                                 "deterministic operators, Horovod's tensor fusion off: slower)", resume='free',
                                 group='running')
    cuda: bool = switch('refuse to run where there is no GPU; unless given, the CPU is used there', resume='free',
                        against='no_cuda', group='running')
    no_cuda: bool = switch('use the CPU even where there is a GPU', resume='free', against='cuda', group='running')
    num_workers: Optional[int] = option(None, 'threads or processes that decode images; default: one for each core of '
                                        'the rank, from 2 to 16', '-j', least=0, most=1024, resume='free',
                                        group='running')
    workers_kind: Optional[str] = option(None, 'thread, or process for many cores; default: processes where there are '
                                         'more than 4 workers, and as many cores', choices=('thread', 'process'),
                                         resume='free', group='running')
    sync_bn: bool = switch('BatchNorm over the images of all ranks in training, for few images on each (a step takes '
                           'longer)', group='running')
    fp16_compression: bool = switch('Horovod sends gradients as float16', group='running')
    fusion_mb: Optional[float] = option(None, 'MB of gradients that Horovod sends at once; 0 sends each tensor alone; '
                                        "Horovod's own unless given", least=0, most=1e6, resume='free', group='running')
    cycle_ms: Optional[float] = option(None, "milliseconds between Horovod's rounds; its own, on CPUs 5, with "
                                       '--sync-bn 1, unless given', above=0, most=1e6, resume='free', group='running')
    save_dir: str = option('params', 'folder of what the run writes', resume='free', group='output')
    eval_only: bool = switch('print the figures of what --resume, --resume-params or --pretrained name, and stop',
                             resume='free', group='running')
    time_limit: Optional[float] = option(None, 'minutes after which the run ends as by SIGTERM, early enough to write '
                                         'a checkpoint', above=0, most=1e6, resume='free', group='running')
    best: Optional[str] = option(None, "figure by which best.params is chosen; the task's own unless given",
                                 group='output')
    patience: int = option(0, 'evaluations without a better one after which the run ends; 0 is never', least=0,
                           resume='free', group='output')
    save_frequency: int = option(1, 'epochs between checkpoints', least=1, resume='free', group='output')
    save_steps: int = option(0, 'steps between checkpoints within an epoch; 0 is none', least=0, resume='free',
                             group='output')
    keep: int = option(3, 'checkpoints that are kept: the last ones', least=1, resume='free', group='output')
    eval_frequency: int = option(1, 'epochs between evaluations', least=1, resume='free', group='output')
    log_interval: int = option(50, 'steps between updates of the progress bar', least=1, resume='free', group='output')
    skip_nonfinite: int = option(0, 'steps whose loss is not finite that are left out before the run gives up',
                                 least=0, resume='free', group='running')
    resume: Optional[str] = option(None, "a checkpoint to go on from, or 'auto' for the newest whole one in "
                                   '--save-dir, if any', resume='free', group='output')

    def __post_init__(self):
        for name, field in fields_of(self).items():
            setattr(self, name, settled(field, getattr(self, name)))
            found = problem(field, getattr(self, name))
            if found:
                raise InputError(f'{option_of(name)} {found}')
        for name, why in idle(type(self), vars(self)).items():
            raise InputError(f'{option_of(name)} {why}')
        self.check_epochs('warmup_epochs')
        self._check_rates()
        if self.cuda and self.no_cuda:
            raise InputError('--cuda wants a GPU, --no-cuda none; leave one of them out')
        if self.eval_only and not (self.resume or self.start):
            raise InputError('--eval-only evaluates what --resume, --resume-params or --pretrained name; give one of '
                             'them')
        if self.deterministic and self.fusion_mb:
            raise InputError('--deterministic turns tensor fusion off, --fusion-mb sets it; leave one of them out')
        if self.dtype == 'float16' and self.no_cuda:
            raise InputError('--dtype float16 needs a GPU; leave out --no-cuda, or use --dtype float32')
        if self.dtype == 'bfloat16' and self.cuda:
            raise InputError('--dtype bfloat16 is for CPUs; leave out --cuda, or use --dtype float16')
        if self.pretrained and self.resume_params:
            raise InputError('--pretrained and --resume-params both say what to start from; leave one of them out')
        self.freeze = [stage for stage in STAGES if stage in (self.freeze or ())] or None
        if self.freeze and not (self.start or self.resume not in (None, 'auto')):
            raise InputError('--freeze keeps what was loaded; say by --pretrained or --resume-params what that is')
        if self.freeze == list(STAGES) and self.backbone_lr_factor != 1:
            raise InputError('--freeze of all stages leaves nothing to --backbone-lr-factor; leave one of them out')

    def _check_rates(self):
        """Raise InputError for rates that contradict each other, or the schedule."""
        if self.min_lr > self.share_lr:
            raise InputError(f'--min-lr {self.min_lr:g} is more than the learning rate, {self.share_lr:g}')
        if self.lr_schedule == 'step':
            self._check_milestones()

    def _check_milestones(self):
        if self.milestones and self.milestone_steps:
            raise InputError('--milestones and --milestone-steps both say when the learning rate falls; leave one of '
                             'them out')
        if self.num_steps and not self.milestone_steps:
            raise InputError('--num-steps counts in steps: give --lr-schedule step --milestone-steps, such as 60000 '
                             '80000')
        name, last = ('milestone_steps', self.num_steps) if self.milestone_steps else ('milestones', self.num_epochs)
        times = getattr(self, name) or []
        if not times or times != sorted(set(times)) or last and times[-1] >= last:
            unit = 'steps' if self.milestone_steps else 'epochs'
            before = f' before the last of {last}' if last else ''
            raise InputError(f'--lr-schedule step needs {option_of(name)}, rising {unit}{before}, such as '
                             f"{'60000 80000' if self.milestone_steps else '30 60 90'}")

    def settle_steps(self, steps):
        """Say in epochs, of ``steps`` each, what the recipe says in steps: how long the run and its warm-up are."""
        if self.num_steps is not None:
            self.num_epochs = -(-self.num_steps // steps)
        if self.warmup_steps is not None:
            self.warmup_epochs = self.warmup_steps / steps

    def total_steps(self, steps):
        """Steps of the whole run, where an epoch has ``steps``."""
        return self.num_steps or steps * self.num_epochs

    def check_epochs(self, name):
        """Raise InputError where the field ``name`` is more epochs than the run has."""
        value = getattr(self, name)
        if value is not None and value > self.num_epochs:
            raise InputError(f'{option_of(name)} {value:g} is more than --num-epochs {self.num_epochs}')

    @classmethod
    def add_older_options(cls, parser):
        """Add to an argument parser, or a group of one, what command lines of before may still have."""

    @property
    def weights_dtype(self):
        """The type of the network's own weights: bfloat16 ones are made of float32 ones in each pass."""
        return 'float16' if self.dtype == 'float16' else 'float32'

    @property
    def start(self):
        """Weights that the run starts from: a path, True for published ones, or nothing (None or False)."""
        return self.resume_params or self.pretrained

    @property
    def workers(self):
        """How batches are made, ``(number, kind)``, for a loader."""
        return self.num_workers, self.workers_kind

    @property
    def warmup(self):
        """Epochs of warm-up."""
        return min(self.usual_warmup, self.num_epochs) if self.warmup_epochs is None else self.warmup_epochs

    @property
    def share_lr(self):
        """Learning rate of one batch of one rank."""
        usual = self.usual_sgd_lr if self.optimizer == 'sgd' else self.usual_adam_lr
        return usual * self.batch_size if self.lr is None else self.lr

    @property
    def rank_lr(self):
        """Learning rate of one rank's share of a step, to be multiplied by the number of ranks."""
        return self.accumulate * self.share_lr

    @property
    def decay(self):
        """Weight decay; that of AdamW unless given as Liu et al. have it."""
        return (0.05 if self.optimizer == 'adamw' else 1e-4) if self.wd is None else self.wd
