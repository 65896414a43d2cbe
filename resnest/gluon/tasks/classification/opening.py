"""What a run of training starts from: its records, the weights that it is given, and how its images come."""
import dataclasses
import sys

from resnest.errors import InputError, SharedError
from resnest.gluon.data import default_fraction, open_folders, open_pair, preprocessing
from resnest.gluon.models import override
from resnest.gluon.models.variants import option_names
from resnest.gluon.models.weights.choosing import DEFAULT_MODEL, Choice, choose_described
from resnest.reading import did_you_mean, one_line

__all__ = ['going_on', 'open_records', 'settle_images']

# What a recipe keeps of how images come, besides their size.
IMAGES = ('crop_ratio', 'interpolation', 'mean', 'std')


def open_records(config, job, local):
    """The recipe, with what it says of the data settled, the two sets of records, and the number of classes."""
    if not config.data_dir:
        return config, *open_pair(config.rec_train, config.rec_val, config.num_classes,
                                  (job.local_rank, job.local_size) if local else None)
    if local:
        raise InputError('--sharding local is for shards, of which each machine has its own; leave it out')
    given, fraction = config.val_fraction, config.val_fraction or default_fraction(config.data_dir)
    train_set, val_set, classes = open_folders(config.data_dir, config.num_classes, fraction, config.seed)
    notes = [train_set.note, None if val_set.note == train_set.note else val_set.note]
    if fraction != given:
        notes.append(f'{config.data_dir}: no val/ in it, so {len(val_set)} of {len(train_set) + len(val_set)} images, '
                     f'some of each class, are held out for validation (--val-fraction {fraction})')
    for note in filter(None, notes if job.rank == 0 else ()):
        print(note, file=sys.stderr)
    return dataclasses.replace(config, val_fraction=fraction), train_set, val_set, classes


def going_on(config, before):
    """The recipe ``config`` of a run that goes on from a checkpoint, with the network and the images of the recipe
    ``before``, the checkpoint's, where nothing else is given: what it once started from may be gone."""
    kept = {name: getattr(before, name) for name in ('model', 'input_size', *IMAGES) if getattr(config, name) is None}
    options = {**(before.model_options or {}), **(config.model_options or {})}
    return dataclasses.replace(config, **kept, model_options=options or None)


def settle_images(config, description=None):
    """``(config, spec)``: the recipe with the size, the statistics and so on that its images get in the end, and the
    network's row with the same, so that ``net.spec`` says how the weights want their images."""
    path, values = config.resume_params, config.model_options or {}
    if unknown := next((name for name in values if name not in option_names()), None):
        raise SharedError(f"--model-options: a row of the table has no '{one_line(unknown, 60)}'"
                          f'{did_you_mean(unknown, option_names())}')
    chosen = choose_described(path, description, config.model, values) if description else \
        Choice(config.model or DEFAULT_MODEL, path, values)
    spec = chosen.spec
    size, ratio, interpolation = preprocessing(spec, config.input_size, config.crop_ratio)
    options = {**{name: value for name, value in description.options.items() if name not in ('crop_size', *IMAGES)},
               **values} if description else values
    config = dataclasses.replace(config, model=chosen.model, model_options=options or None, input_size=size,
                                 crop_ratio=ratio, mean=config.mean or list(spec.mean),
                                 std=config.std or list(spec.std),
                                 interpolation=config.interpolation or interpolation)
    return config, override(spec, {'crop_size': size, **{name: getattr(config, name) for name in IMAGES}})
