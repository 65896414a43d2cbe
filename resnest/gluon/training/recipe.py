"""What a recipe comes to: the numbers that follow from it, whether it can run here, and whether it is another's."""
import copy
import dataclasses
import math
import os
import platform

from resnest import __version__
from resnest.errors import InputError, SharedError
from resnest.gluon.device import cpu_flags
from resnest.gluon.distributed import current
from resnest.reading import format_yaml, one_line
from resnest.runtime import installed

from .fields import LARGEST, fields_of, option_of
from .options import make

__all__ = ['check_batch', 'check_device', 'check_warmup', 'differences', 'environment', 'require_bfloat16',
           'resolved', 'restored', 'show', 'to_yaml', 'versions']

SMALL_BATCH = 16
BFLOAT16 = {'avx512_bf16', 'amx_bf16'}     # a CPU's products of it, as Linux names them

# Compared by what they come to on all ranks together.
NUMBERS = {'global_batch_size': '--batch-size', 'learning_rate': '--lr', 'min_learning_rate': '--min-lr',
           'warmup_epochs': '--warmup-epochs', 'weight_decay': '--wd', 'steps_per_epoch': '--rec-train'}


def resolved(config, ranks=1, steps=None):
    """Every field of a recipe, and under ``'derived'`` what it comes to on a number of ranks: a dict for YAML.

    ``steps`` are the updates of an epoch, where they are known. ``--config`` takes the result back.
    """
    if steps is not None:
        config = copy.copy(config)
        config.settle_steps(steps)
    derived = {'ranks': ranks, 'images_per_rank': config.batch_size * config.accumulate,
               'global_batch_size': config.batch_size * config.accumulate * ranks,
               'learning_rate': config.rank_lr * ranks,
               'min_learning_rate': config.accumulate * config.min_lr * ranks, 'warmup_epochs': float(config.warmup),
               'weight_decay': config.decay}
    if steps is not None:
        derived.update(steps_per_epoch=steps, steps=config.total_steps(steps),
                       warmup_steps=round(steps * config.warmup))
    return {**dataclasses.asdict(config), 'derived': derived}


def to_yaml(recipe):
    """The text of a mapping, in its own order."""
    return format_yaml(recipe)


def restored(kind, stored, where, ranks=1):
    """``(recipe, derived)`` of what :func:`resolved` once returned for a recipe of the class ``kind``, from a file.

    A field that there was not yet has its default, and one that is gone does not matter. Raises InputError that names
    ``where`` for values that no recipe has.
    """
    if not isinstance(stored, dict):
        raise SharedError(f'{one_line(where)}: holds no recipe')
    try:
        before = make({name: stored[name] for name in fields_of(kind) if name in stored}, where, kind)
    except InputError as error:
        raise SharedError(str(error)) from None
    derived = stored.get('derived') or resolved(before, ranks)['derived']
    if not isinstance(derived, dict) or not all(type(derived.get(name, 1)) in (int, float) and
                                                0 <= derived.get(name, 1) < LARGEST for name in NUMBERS) or \
            type(derived.get('global_batch_size')) is not int:
        raise SharedError(f"{one_line(where)}: what its recipe comes to ('derived') is damaged")
    # Versions before told neither of the two.
    return before, {'min_learning_rate': 0.0, 'weight_decay': before.decay, **derived}


def differences(config, stored, ranks=1, steps=None, where='the checkpoint'):
    """The options that contradict the recipe of a checkpoint: texts such as ``'--seed 1 (was 0)'``.

    ``stored`` is what :func:`resolved` returned then, and ``where`` names its file. Batch size, accumulation and
    learning rate may change with the number of ranks: either those of a rank stay, or those of all ranks together.
    Raises InputError as :func:`restored`.
    """
    before, then = restored(type(config), stored, where, ranks)
    found, scaled = [], []
    for name, field in fields_of(config).items():
        was, value, kind = getattr(before, name), getattr(config, name), field.metadata['resume']
        if kind == 'scaled':
            scaled.append(was == value)
        elif kind != 'free' and was != value and not (kind == 'own' and None in (was, value)):
            found.append(f'{option_of(name)} {value} (was {was})')
    now = resolved(config, ranks, steps)['derived']
    # Checkpoints of earlier versions call the ranks workers.
    if then.get('ranks', then.get('workers')) != now['ranks'] and all(scaled):
        return found        # the same command on other ranks: batch and rate follow their number
    for number, option in NUMBERS.items():
        if number in then and number in now and not math.isclose(now[number], then[number], rel_tol=1e-9):
            found.append(f"{option}: {number.replace('_', ' ')} {now[number]:g} (was {then[number]:g})")
    return found


def versions():
    """Of what a run's result may depend on."""
    return {'python': platform.python_version(), 'resnest': __version__,
            **{name: installed(name) for name in ('mxnet', 'numpy', 'pillow', 'horovod')}}


def show(config, job, steps=None):
    """Print the whole recipe as YAML on the first rank; ``steps`` of an epoch settle what depends on them."""
    if job.rank == 0:
        print(to_yaml(resolved(config, job.size, steps)), end='')


def check_batch(config):
    """A warning for a small batch, or None; raises InputError for a batch of one image.

    BatchNorm after the global pooling sees as many values of each channel as there are images on the device, with
    ``sync_bn`` on all of them.
    """
    images = config.batch_size * (current().size if config.sync_bn else 1)
    if images == 1:
        raise SharedError('--batch-size 1 cannot be trained: BatchNorm after the global pooling of a split attention '
                          'would see one value; use at least 2, better 16')
    if images < SMALL_BATCH:
        return (f'--batch-size {config.batch_size}: BatchNorm sees few images at a time; with {SMALL_BATCH} or more on '
                f'each rank, or over all ranks by --sync-bn, the accuracy is better')
    return None


def check_warmup(config):
    """A warning where the whole run is warm-up, or None."""
    if config.warmup < config.num_epochs:
        return None
    return (f'the warm-up of {config.warmup:g} epochs fills the run: the learning rate only rises; use fewer '
            f'--warmup-epochs, or more --num-epochs')


def check_device(config, device):
    """Raise InputError where the recipe cannot run on a device; weights of a bfloat16 one can be evaluated on any."""
    if config.dtype == 'float16' and device.device_type == 'cpu':
        raise InputError('--dtype float16 needs a GPU (MXNet has no float16 products on CPUs); use --dtype float32')
    if config.dtype != 'bfloat16' or config.eval_only:
        return
    if device.device_type != 'cpu':
        raise InputError('--dtype bfloat16 is for CPUs; add --no-cuda, or use --dtype float16')
    require_bfloat16('--dtype')


def require_bfloat16(option):
    """Raise InputError that names ``option`` where this CPU is not one to train in bfloat16."""
    if not cpu_flags() & BFLOAT16:
        raise InputError(f'{option} bfloat16 needs a CPU that multiplies in it, by AVX512-BF16 or AMX, and this one '
                         f'does not (resnest env tells what it has); use {option} float32')


def environment(config):
    """The environment variables that a recipe sets for Horovod and for MXNet's GPU operators.

    They count when Horovod starts and where an operator is first run.
    """
    variables = {}
    if config.deterministic:
        variables = {'MXNET_ENFORCE_DETERMINISM': '1', 'MXNET_CUDNN_AUTOTUNE_DEFAULT': '0'}
    if config.deterministic or config.fusion_mb is not None:
        variables['HOROVOD_FUSION_THRESHOLD'] = str(0 if config.deterministic else round(config.fusion_mb * 2 ** 20))
    if config.cycle_ms is not None:
        variables['HOROVOD_CYCLE_TIME'] = f'{config.cycle_ms:g}'
    elif config.sync_bn and 'HOROVOD_CYCLE_TIME' not in os.environ:
        variables['HOROVOD_CYCLE_TIME'] = '1'       # a step waits for two rounds of each layer
    return variables
