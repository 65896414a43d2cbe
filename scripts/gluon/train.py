"""Train a ResNeSt on RecordIO shards, in one process or in several: horovodrun -np N python train.py ..."""
import argparse
import dataclasses
import os

from resnest.errors import InputError, SharedError, run_command


def main(arguments=None):
    from resnest.gluon import distributed
    from resnest.gluon.training import add_options, from_options, recipe
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    options = parser.parse_args(arguments)
    config = from_options(options)
    os.environ.update(recipe.environment(config))
    workers = distributed.start()
    with distributed.tell_lost_worker(workers, '--resume auto goes on from the newest checkpoint'):
        return train(config, workers, options.print_config)


def train(config, workers, print_config=False):
    import mxnet as mx

    from resnest.gluon import get_model
    from resnest.gluon.data import (
        Evaluation,
        Loader,
        evaluation_batches,
        interpolation_for,
        local_batches,
        open_pair,
        training_batches,
        training_transform,
    )
    from resnest.gluon.device import choose_device
    from resnest.gluon.models import SMALLEST_IMAGE, find_variant, load_pretrained, override
    from resnest.gluon.tasks.classification import evaluate
    from resnest.gluon.training import fit, load_first, recipe

    changes = config.model_options or {}
    spec = override(find_variant(config.model), changes)
    config = dataclasses.replace(config, input_size=config.input_size or spec.crop_size,
                                 crop_ratio=config.crop_ratio or spec.crop_ratio)

    def show(steps=None):
        if workers.rank == 0:
            print(recipe.to_yaml(recipe.resolved(config, workers.size, steps)), end='')

    if not config.rec_train or not config.rec_val:
        if print_config:
            return show()
        raise SharedError('--rec-train and --rec-val are needed: folders of shards from prepare_imagenet.py or '
                          'prepare_digits.py')
    local = config.sharding == 'local'
    train, val, classes = open_pair(config.rec_train, config.rec_val, config.num_classes,
                                    (workers.local_rank, workers.local_size) if local else None)
    network, twin = (get_model(config.model, classes=classes, last_gamma=config.last_gamma,
                               dropblock_prob=config.dropblock_prob, **changes) for _ in range(2))
    if config.input_size < SMALLEST_IMAGE:
        raise InputError(f'--input-size must be at least {SMALLEST_IMAGE}, got {config.input_size}')
    config = dataclasses.replace(config, num_classes=classes)
    interpolation = interpolation_for(config.input_size)
    crop = Evaluation(config.input_size, config.crop_ratio, interpolation)
    augment = training_transform(config.augment, crop.size, interpolation, evaluation=crop)

    device = choose_device(config.no_cuda, workers.local_rank)
    local_steps = local and min(workers.gather(len(train) // config.batch_size, 'steps'))

    def batches(epoch, start=0):
        if local:
            indices = local_batches(len(train), config.batch_size, local_steps, workers.rank, config.seed, epoch, start)
        else:
            indices = training_batches(len(train), config.batch_size, workers.rank, workers.size, config.seed, epoch,
                                       start)
        return Loader(train, augment, indices, classes, config.num_workers, config.seed, epoch, config.skip_bad)

    def validate(net):
        indices = evaluation_batches(len(val), config.batch_size, workers.rank, workers.size)
        return evaluate(net, Loader(val, crop, indices, classes, config.num_workers), device)

    steps = len(batches(0)) // config.accumulate    # too few records: say so before anything is made
    if print_config:
        return show(steps)
    for what, count in (('validation records', len(val)), ('classes', classes), ('training records', len(train))):
        if not local or what != 'training records':
            workers.agree(f'number of {what}', count)
    mx.random.seed(config.seed)
    for each in (network, twin):
        each.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=device)
    load_first(config, workers, lambda path: load_pretrained(network, spec, path, ctx=device, other_classes=True))
    return fit(network, twin, config, workers, device, batches, validate)


if __name__ == '__main__':
    run_command(main)
