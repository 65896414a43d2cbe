"""Exact top-1 and top-5 of a model on RecordIO shards or on folders of images."""
import argparse
import json
import os
import sys
from pathlib import Path

from resnest.errors import InputError, run_command
from resnest.files import replace_file


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='resnest50',
                        help='network; python -m resnest models lists them (default: %(default)s)')
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument('--rec-dir', help='a folder of shards, a .rec file or a pattern')
    data.add_argument('--data-dir', help='a folder with a folder a class (or with val/ that has them)')
    parser.add_argument('--resume', help='.params file to verify; the published weights unless given')
    parser.add_argument('--num-classes', type=int, help="classes; from the data's manifest unless given")
    parser.add_argument('--crop-size', '--input-size', type=int,
                        help="image side in pixels; the model's own unless given")
    parser.add_argument('--crop-ratio', type=float, help="crop / resized short edge; the model's own unless given")
    parser.add_argument('--batch-size', type=int, default=32, help='images at a time (default: %(default)s)')
    parser.add_argument('--num-workers', '-j', type=int, default=2, help='decoding threads (default: %(default)s)')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=Path, help='file to write the result to')
    options = parser.parse_args(arguments)
    if options.num_classes is not None and options.num_classes < 1:
        raise InputError(f'--num-classes must be at least 1, got {options.num_classes}')
    if options.batch_size < 1 or options.num_workers < 0:
        raise InputError('--batch-size must be at least 1 and --num-workers at least 0')
    if options.json and not os.access(options.json.absolute().parent, os.W_OK):
        raise InputError(f'{options.json}: cannot be written; give --json a file in a folder that is there')

    from tqdm import tqdm

    from resnest.gluon import get_model, list_models
    from resnest.gluon.data import (
        Evaluation,
        FolderSet,
        Loader,
        RecordSet,
        evaluation_batches,
        interpolation_for,
        with_normalization,
    )
    from resnest.gluon.device import choose_device
    from resnest.gluon.inference import evaluate
    from resnest.gluon.models import SMALLEST_IMAGE

    if options.crop_size is not None and options.crop_size < SMALLEST_IMAGE:
        raise InputError(f'--crop-size must be at least {SMALLEST_IMAGE}, got {options.crop_size}')
    records = FolderSet(options.data_dir, 'val') if options.data_dir else RecordSet(options.rec_dir, 'val')
    classes = options.num_classes or len(records.classes or ()) or 1000
    if not options.resume and classes != 1000 and options.model in list_models(pretrained=True):
        raise InputError(f'the published weights know 1000 classes, not {classes}; give a .params file with --resume')
    device = choose_device(options.no_cuda)
    network = get_model(options.model, classes=classes, pretrained=options.resume or True, ctx=device)
    spec = network.spec
    size = options.crop_size or spec.crop_size
    crop = Evaluation(size, spec.crop_ratio if options.crop_ratio is None else options.crop_ratio,
                      interpolation_for(size))
    net = with_normalization(network)
    net.hybridize(static_alloc=True)
    loader = Loader(records, crop, evaluation_batches(len(records), options.batch_size), classes, options.num_workers)
    with tqdm(total=len(records), unit='image', disable=not sys.stderr.isatty()) as bar:
        found = evaluate(net, loader, device, bar.update)
    if found['nonfinite']:
        raise InputError(f"{options.resume or options.model}: the network's output is not finite for "
                         f"{found['nonfinite']} of {found['seen']} images; these weights are of no use")
    result = {'model': options.model, 'top1': 100 * found['correct1'] / found['seen'],
              'top5': 100 * found['correct5'] / found['seen'], **found, 'crop_size': crop.size}
    print(f"{options.model}: top-1 {result['top1']:.2f} %  top-5 {result['top5']:.2f} %  of {found['seen']} images"
          + (f", {found['images_per_second']:.1f} images/s" if found['images_per_second'] else ''))
    if options.json:
        replace_file(options.json, json.dumps(result, indent=1))


if __name__ == '__main__':
    run_command(main)
