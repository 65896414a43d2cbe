"""Images per second of the input pipelines: ours beside mxnet's DataLoader and ImageRecordIter, and Pillow alone.

Each contender runs in fresh processes, in turn with the others (``python -m resnest.gluon.speed.pipelines SETTINGS``
is one of them), on the same shards and with the same augmentations where it can do them.
"""
import functools
import io
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from resnest.errors import InputError
from resnest.gluon.data.images.augmentation import training_transform
from resnest.gluon.data.images.transforms import MEAN, STD, Evaluation
from resnest.gluon.data.labelled import Loader
from resnest.gluon.data.sampler import training_batches
from resnest.gluon.data.shards.reader import RecordSet

from .fresh_process import run_fresh
from .preparing import format_preparing, measure_preparing

__all__ = ['compare_pipelines', 'format_data', 'format_pipelines', 'measure_data']

OUR_PROCESSES, PILLOW = 'ours, processes', 'Pillow alone'


def measure_data(source=None, size=224, batch_size=32, workers=(2,), rounds=3, prepare_images=2000, progress=None,
                 images=1000):
    """Preparing (:func:`.preparing.measure_preparing`, unless ``prepare_images`` is 0), then the pipelines on
    ``source``, or on the shards that were prepared; returns both as one list of dicts."""
    if not prepare_images and source is None:
        raise InputError('--rec-train is needed where nothing is prepared: shards from resnest prepare')
    with tempfile.TemporaryDirectory(prefix='prepared-') as folder:
        preparing = measure_preparing(prepare_images, sorted({max(1, count) for count in workers}), rounds, folder,
                                      progress) if prepare_images else []
        return preparing + compare_pipelines(source or f'{folder}/rec', size, batch_size, workers, images, rounds,
                                             progress)


def format_data(results):
    """Two tables as text: preparing, and the pipelines."""
    preparing = [row for row in results if row['what'] == 'preparing']
    pipelines = format_pipelines([row for row in results if row['what'] != 'preparing'])
    return f'{format_preparing(preparing)}\n\n{pipelines}' if preparing else pipelines


def compare_pipelines(source, size=224, batch_size=32, workers=(2,), images=1000, rounds=3, progress=None):
    """Time ``images`` images of every pipeline, augmentation and number of workers; returns a list of dicts.

    The pipelines read the first shard of ``source``, since mxnet's take one file.
    """
    source = RecordSet(source, 'train').files[0]
    contenders = [(implementation, augment, count)
                  for count in workers for augment in ('standard', 'autoaugment', 'none')
                  for implementation in CONTENDERS
                  if {OUR_PROCESSES: count, 'ImageRecordIter': augment != 'autoaugment' and count,
                      PILLOW: augment == 'none'}.get(implementation, True)]
    rates = {contender: [] for contender in contenders}
    for _ in range(rounds):
        for implementation, augment, count in contenders:
            settings = {'implementation': implementation, 'augment': augment, 'workers': count, 'source': str(source),
                        'size': size, 'batch_size': batch_size, 'images': images}
            # Several threads in each of its processes make the DataLoader three times slower.
            one = {'OMP_NUM_THREADS': '1'} if implementation == 'DataLoader' else {}
            printed = run_fresh(f'{implementation} on {source}', '-m', 'resnest.gluon.speed.pipelines',
                                json.dumps(settings), env={**os.environ, **one})
            rates[implementation, augment, count].append(float(printed.split()[-1]))
            if progress:
                progress()
    return [{'what': 'evaluation' if augment == 'none' else 'training', 'implementation': implementation,
             'augment': augment, 'workers': count, 'images_per_second': statistics.median(found),
             'images_per_second_rounds': found}
            for (implementation, augment, count), found in rates.items()]


def format_pipelines(results):
    """The results as lines of text, with our ratio to each other pipeline at the same number of workers, and to
    ourselves with the fewest workers."""
    def found(result, **wanted):
        wanted = {**result, 'implementation': 'ours', **wanted}
        return next(other['images_per_second_rounds'] for other in results
                    if all(other[key] == wanted[key] for key in ('implementation', 'augment', 'workers')))

    fewest = min(result['workers'] for result in results)
    lines = [f'{"pipeline":<12}{"augment":<13}{"workers":<9}{"by":<17}{"images/s":>9}  ours is']
    for result in results:
        ours = result['implementation'] == 'ours'
        base = found(result, workers=fewest) if ours else result['images_per_second_rounds']
        ratios = [a / b for a, b in zip(found(result), base)]
        text = f'{statistics.median(ratios):.2f} x ({min(ratios):.2f} to {max(ratios):.2f})'
        if ours:
            text = '' if result['workers'] == fewest else f'{text} of {fewest} worker{"s" * (fewest != 1)}'
        lines.append(f"{result['what']:<12}{result['augment']:<13}{result['workers']:<9}{result['implementation']:<17}"
                     f"{result['images_per_second']:>9.0f}  {text}".rstrip())
    return '\n'.join(lines)


def our_batches(settings):
    """Sizes of our pipeline's batches, epoch after epoch."""
    records, size = RecordSet(settings['source'], 'train'), settings['size']
    transform = training_transform(settings['augment'], size, evaluation=Evaluation(size))
    for epoch in range(1000):
        indices = training_batches(len(records), settings['batch_size'], epoch=epoch)
        kind = 'process' if settings['implementation'] == OUR_PROCESSES else 'thread'
        for images, _ in Loader(records, transform, indices, 10 ** 6, (settings['workers'], kind), epoch=epoch):
            yield len(images)


def pillow_batches(settings):
    """Sizes of batches of which each image is decoded and its centre resized by Pillow's calls, in as many processes,
    and then dropped: what evaluation would reach if all else cost nothing."""
    records, size = RecordSet(settings['source'], 'train'), settings['size']
    with multiprocessing.get_context('fork').Pool(max(1, settings['workers'])) as pool:
        for epoch in range(1000):
            indices = training_batches(len(records), settings['batch_size'], epoch=epoch)
            yield from pool.imap(functools.partial(_by_pillow, records, size), indices)


def _by_pillow(records, size, indices):
    """The number of pictures, decoded and resized."""
    for index in indices:
        with Image.open(io.BytesIO(records[index][0])) as image:
            side = 0.875 * min(image.size)
            left, top = ((whole - side) / 2 for whole in image.size)
            image.resize((size, size), Image.BILINEAR, (left, top, left + side, top + side))
    return len(indices)


def dataloader_batches(settings):
    """The same with mxnet's ImageRecordDataset, its transforms, and its DataLoader with worker processes."""
    import mxnet as mx
    from mxnet.gluon.data import DataLoader
    from mxnet.gluon.data.vision import ImageRecordDataset, transforms
    from PIL import Image

    from resnest.gluon.data.images.auto_augment import AutoAugment
    size = settings['size']
    policy, rng = AutoAugment(), np.random.default_rng(0)

    def augment(x):
        return mx.nd.array(np.asarray(policy(Image.fromarray(x.asnumpy()), rng)), dtype='uint8')

    finish = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    if settings['augment'] == 'none':
        steps = [transforms.Resize(math.ceil(size / 0.875), keep_ratio=True), transforms.CenterCrop(size), *finish]
    else:
        steps = [transforms.RandomResizedCrop(size), transforms.RandomFlipLeftRight(),
                 *([augment] if settings['augment'] == 'autoaugment' else []),
                 transforms.RandomColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
                 transforms.RandomLighting(0.1), *finish]

    def transform(x):
        for step in steps:
            x = step(x)
        return x

    dataset = ImageRecordDataset(settings['source']).transform_first(transform)
    loader = DataLoader(dataset, settings['batch_size'], shuffle=True, last_batch='discard',
                        num_workers=settings['workers'])
    for _ in range(1000):
        for images, _ in loader:
            images.wait_to_read()
            yield len(images)


def record_iter_batches(settings):
    """The same with mxnet's C++ ImageRecordIter."""
    import mxnet as mx
    shard, size = Path(settings['source']), settings['size']
    random = {'rand_mirror': True, 'random_resized_crop': True, 'min_random_area': 0.08,
              'max_aspect_ratio': 4 / 3, 'min_aspect_ratio': 3 / 4, 'brightness': 0.4, 'contrast': 0.4,
              'saturation': 0.4, 'pca_noise': 0.1}
    iterator = mx.io.ImageRecordIter(
        path_imgrec=str(shard), path_imgidx=str(shard.with_suffix('.idx')), data_shape=(3, size, size), shuffle=True,
        batch_size=settings['batch_size'], preprocess_threads=settings['workers'], verbose=False,
        **({'resize': math.ceil(size / 0.875)} if settings['augment'] == 'none' else random))
    for _ in range(1000):
        iterator.reset()
        for batch in iterator:
            batch.data[0].wait_to_read()
            yield settings['batch_size']


def main(settings):
    """One contender: prints its images per second, after two batches to start up."""
    batches = CONTENDERS[settings['implementation']](settings)
    next(batches), next(batches)
    seen, start = 0, time.perf_counter()
    while seen < settings['images']:
        seen += next(batches)
    print(seen / (time.perf_counter() - start))


CONTENDERS = {'ours': our_batches, OUR_PROCESSES: our_batches, 'DataLoader': dataloader_batches,
              'ImageRecordIter': record_iter_batches, PILLOW: pillow_batches}


if __name__ == '__main__':
    main(json.loads(sys.argv[1]))
