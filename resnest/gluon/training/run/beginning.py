"""Where a run begins: anew, from weights that are loaded first, or from a checkpoint."""
import dataclasses
import json
from pathlib import Path

from resnest.errors import InputError, SharedError
from resnest.reading import file_digest

from .. import recipe
from . import checkpoint
from .state import COUNTERS, restore

__all__ = ['begun_before', 'earlier_recipe', 'load_first', 'resume', 'told_by']

# What a run leaves before its first checkpoint.
LEFT = ('best.params', 'log.jsonl')


def load_first(config, job, load):
    """Have the first rank ``load(path)`` what ``config`` starts from; the trainer gives the others its parameters.

    ``load`` takes the path of a ``.params`` file, or True for the published weights, and returns what is to be told
    besides, or nothing. Nothing is loaded where the run goes on from a checkpoint. A collective of all ranks; raises
    the InputError of ``load`` on all of them.
    """
    source = config.start

    def first():
        if config.resume and (config.resume != 'auto' or checkpoint.found(config.save_dir)):
            print('the checkpoint is what the run goes on from: --pretrained and --resume-params are not read')
            return
        told = load(source)
        print(f"starting from {'the published weights' if source is True else source}" + (f'; {told}' if told else ''),
              flush=True)

    if source:
        job.from_first(first, 'first weights')


def told_by(task, job):
    """What the task of the first rank tells of its weights, or None; all ranks have it, and its errors."""
    def tell():
        told = task.describe()
        return told and json.dumps(told).encode()

    told = job.from_first(tell, 'description')
    return told and json.loads(bytes(told))


def earlier_recipe(config, job):
    """The recipe of the checkpoint that the run will go on from; None where it begins anew. A collective of all ranks.

    Raises InputError for a checkpoint by name that cannot be read.
    """
    def read():
        if config.resume == 'auto':
            path, data, _ = checkpoint.newest(config.save_dir)
        else:
            path, data = config.resume, checkpoint.read(Path(config.resume), None)
        return data and json.dumps([str(path), checkpoint.load(data, path)[1]['recipe']]).encode()

    found = config.resume and job.from_first(read, 'recipe')
    if not found:
        return None
    path, stored = json.loads(bytes(found))
    return recipe.restored(type(config), stored, path, job.size)[0]


def begun_before(config, job, kept=('model',)):
    """``(config, before)``: the recipe with what the run that it goes on with was begun by, and that run's recipe, None
    where it begins anew: what the run once started from may be gone.

    The fields ``kept`` are the earlier recipe's where they are not given again, and so is each of the model's options.
    A collective of all ranks; raises InputError as :func:`earlier_recipe`.
    """
    before = earlier_recipe(config, job)
    if before is None:
        return config, None
    again = {name: getattr(before, name) for name in kept if getattr(config, name) is None}
    options = {**(before.model_options or {}), **(config.model_options or {})}
    return dataclasses.replace(config, **again, model_options=options or None), before


def resume(task, config, job, step, averages, now, say):
    """``(state, counters)`` to start from; the counters, this rank's own, are None where a run begins anew.

    ``state['damaged']`` lists, on rank 0, the newer checkpoints that were passed over.

    Rank 0 reads the checkpoint for all. ``now`` is what the recipe comes to (:func:`.recipe.resolved`), ``say`` tells
    the user. Raises InputError for a folder that holds another run, and for a checkpoint that does not fit.
    """
    path, damaged, best = None, [], task.figures.best

    def read():
        nonlocal path, damaged
        folder = Path(config.save_dir)
        if config.resume not in (None, 'auto'):
            path = Path(config.resume)
            return checkpoint.read(path, None if config.eval_only else folder)
        if config.resume is None and (checkpoint.found(folder) or any((folder / name).exists() for name in LEFT)):
            raise InputError(f'{folder}: holds an earlier run; go on with it by --resume auto, or use another '
                             f'--save-dir')
        path, data, damaged = checkpoint.newest(folder)
        if data is None and damaged:
            raise InputError(f'{damaged[0]}: damaged, and there is no older checkpoint; remove it to start anew')
        return data

    data = None
    if config.resume or not config.eval_only:
        data = job.from_first(read, 'checkpoint')
    for each in damaged:
        say(f'warning: {each} is damaged; the one before it is used')
    if data is None and config.resume and config.eval_only:
        raise SharedError(f'{config.save_dir}: holds no checkpoint to evaluate')
    if data is None:
        return {'epoch': 0, 'step': 0, 'best': None, 'rows': [], 'seconds': 0.0, 'damaged': []}, None
    name = path or 'the checkpoint'
    state, counters = restore(data, name, task.network, step, averages, job)
    known = state['best'] is None or type(state['best'].get(best)) in (int, float)
    if counters.keys() != {*COUNTERS, *task.sums} or not known:
        raise SharedError(f'{name}: of another task; use another --save-dir')
    _compare(config, job, name, state['recipe'], now['derived']['steps_per_epoch'], say)
    _, before = recipe.restored(type(config), state['recipe'], name)
    # With another global batch, as many whole steps of it as the samples that were seen fill.
    now = now['derived']
    state['step'] = min(state['step'] * before['global_batch_size'] // now['global_batch_size'], now['steps_per_epoch'])
    if job.total([job.rank == 0 and not _is_best(Path(config.save_dir, 'best.params'), state['best'])], 'no best')[0]:
        state['best'] = None        # of another folder or a later epoch: what is best here is still to be found
    doing = 'evaluating' if config.eval_only else 'going on from'
    say(f"{doing} {name}: epoch {state['epoch'] + 1}, step {state['step']}")
    if state['step'] and 'counters' not in state:
        say(f'note: {name} is of an earlier version, which drew the order of samples otherwise: the rest of this epoch '
            f'may repeat some of them and leave out others')
    return {**state, 'damaged': damaged}, counters


def _is_best(path, best):
    """Whether ``path`` holds the weights whose figures ``best`` are; earlier versions told no hash of them."""
    try:
        return path.is_file() and (best is None or best.get('sha256') in (None, file_digest(path)))
    except (InputError, OSError):
        return False


def _compare(config, job, name, before, steps, say):
    """Tell what contradicts the checkpoint's recipe; refuse it unless the checkpoint was named."""
    changed = recipe.differences(config, before, job.size, steps, name)
    if changed and config.resume == 'auto':
        raise SharedError(f"{name}: of another recipe: {', '.join(changed)}; give the options that it was trained "
                          f'with, or go on with the new ones by --resume {name}')
    for each in changed:
        say(f'note: changed since the checkpoint: {each}')
