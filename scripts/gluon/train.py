"""Train a ResNeSt on RecordIO shards, in one process or in several: horovodrun -np N python train.py ..."""
import argparse

from resnest.errors import InputError, run_command


def main(arguments=None):
    from resnest.gluon.training import TrainConfig, add_options, distributed, fit, from_options
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    config: TrainConfig = from_options(parser.parse_args(arguments))

    import mxnet as mx

    from resnest.gluon import get_model
    from resnest.gluon.data import (
        Evaluation,
        Loader,
        RecordSet,
        evaluation_batches,
        local_batches,
        training_batches,
        training_transform,
        with_normalization,
    )
    from resnest.gluon.device import choose_device
    from resnest.gluon.inference import evaluate
    from resnest.gluon.models import SMALLEST_IMAGE

    if not config.rec_train or not config.rec_val:
        raise InputError('--rec-train and --rec-val are needed: folders of shards from prepare_imagenet.py or '
                         'prepare_digits.py')
    workers = distributed.start()
    local = config.sharding == 'local'
    train = RecordSet(config.rec_train, 'train', (workers.local_rank, workers.local_size) if local else None)
    val = RecordSet(config.rec_val, 'val')
    known = max(len(records.classes or ()) for records in (train, val))
    if train.classes and val.classes and train.classes != val.classes:
        raise InputError(f'{config.rec_val}: its classes are not those of {config.rec_train}')
    if config.num_classes and config.num_classes < known:
        raise InputError(f'--num-classes {config.num_classes}, but the data have {known} classes')
    classes = config.num_classes or train.classes and len(train.classes)
    if not classes:
        raise InputError(f'{config.rec_train}: there is no manifest.json to tell the classes; use --num-classes')
    network = get_model(config.model, classes=classes, last_gamma=config.last_gamma,
                        dropblock_prob=config.dropblock_prob)
    spec = network.spec
    if (config.input_size or SMALLEST_IMAGE) < SMALLEST_IMAGE:
        raise InputError(f'--input-size must be at least {SMALLEST_IMAGE}, got {config.input_size}')
    crop = Evaluation(config.input_size or spec.crop_size, config.crop_ratio or spec.crop_ratio, spec.interpolation)
    augment = training_transform(config.augment, crop.size, spec.interpolation, evaluation=crop)

    device = choose_device(config.no_cuda, workers.local_rank)
    local_steps = local and min(workers.gather(len(train) // config.batch_size, 'steps'))

    def batches(epoch):
        if local:
            indices = local_batches(len(train), config.batch_size, local_steps, workers.rank, config.seed, epoch)
        else:
            indices = training_batches(len(train), config.batch_size, workers.rank, workers.size, config.seed, epoch)
        return Loader(train, augment, indices, classes, config.num_workers, config.seed, epoch, config.skip_bad)

    def validate():
        indices = evaluation_batches(len(val), config.batch_size, workers.rank, workers.size)
        return evaluate(net, Loader(val, crop, indices, classes, config.num_workers), device)

    batches(0)                                      # too few records: say so before anything is made
    for what, count in (('validation records', len(val)), ('classes', classes), ('training records', len(train))):
        if not local or what != 'training records':
            workers.agree(f'number of {what}', count)
    mx.random.seed(config.seed)
    network.initialize(mx.init.MSRAPrelu(factor_type='in', slope=0), ctx=device)
    net = with_normalization(network)
    net.hybridize(static_alloc=True)
    with distributed.tell_lost_worker():
        fit(network, net, config, workers, device, batches, validate)


if __name__ == '__main__':
    run_command(main)
