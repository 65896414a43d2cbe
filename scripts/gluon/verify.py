"""Exact top-1 and top-5 of a model on RecordIO shards or folders of images; horovodrun -np N shares the images out."""
import argparse
import json
import sys
from pathlib import Path

from resnest.errors import InputError, run_command
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', help="network; python -m resnest models lists them; the exported file's unless "
                        'given (default: resnest50)')
    data = parser.add_mutually_exclusive_group(required=True)
    data.add_argument('--rec-dir', help='a folder of shards, a .rec file or a pattern')
    data.add_argument('--data-dir', help='a folder with a folder a class (or with val/ that has them)')
    parser.add_argument('--resume', help='.params file to verify; the published weights unless given')
    parser.add_argument('--engine', nargs='+', default=['gluon'], metavar=('gluon|onnxruntime', 'FILE'),
                        help='gluon, or onnxruntime with a file of export.py (default: gluon)')
    parser.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                        help='what the network computes in (default: %(default)s)')
    parser.add_argument('--calibration', metavar='DIR', help='int8, bfloat16: folder or shards of images to calibrate '
                        'and compare with; the training images beside the verified ones unless given')
    parser.add_argument('--calibration-images', type=int, default=128, metavar='N',
                        help='how many of them, evenly taken (default: %(default)s)')
    parser.add_argument('--calibration-mode', default='naive', choices=['naive', 'entropy'], help='int8: ranges to the '
                        'extremes of these images, or to what suits their distribution best (default: %(default)s)')
    parser.add_argument('--limit', type=int, metavar='N', help='verify N images only, evenly taken from all')
    parser.add_argument('--num-classes', type=int, help="classes; from the data's manifest unless given")
    parser.add_argument('--crop-size', '--input-size', type=int,
                        help="image side in pixels; the exported file's or the model's own unless given")
    parser.add_argument('--crop-ratio', type=float,
                        help="crop / resized short edge; the exported file's or the model's own unless given")
    parser.add_argument('--batch-size', type=int, default=32, help='images at a time (default: %(default)s)')
    parser.add_argument('--num-workers', '-j', type=int, default=2, help='decoding threads (default: %(default)s)')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=Path, help='file to write the result to')
    options = parser.parse_args(arguments)
    engine, file = options.engine[0], (options.engine + [None])[1]
    if engine not in ('gluon', 'onnxruntime') or len(options.engine) != 1 + (engine == 'onnxruntime'):
        raise InputError(f"--engine must be gluon, or onnxruntime with one file, got '{' '.join(options.engine)}'")
    if file and (options.resume or options.precision != 'float32'):
        raise InputError('--engine onnxruntime runs what its file holds: leave out --resume and --precision')
    if options.num_classes is not None and options.num_classes < 1:
        raise InputError(f'--num-classes must be at least 1, got {options.num_classes}')
    if options.batch_size < 1 or options.num_workers < 0:
        raise InputError('--batch-size must be at least 1 and --num-workers at least 0')
    require_writable(options.json, '--json')

    from tqdm import tqdm

    from resnest.gluon import distributed, get_model, list_models
    from resnest.gluon.data import FolderSet, Loader, RecordSet
    from resnest.gluon.device import choose_device
    from resnest.gluon.inference import calibration_images as calibration
    from resnest.gluon.tasks.classification import evaluate
    from resnest.gluon.tasks.classification import verification as verify

    job = distributed.start()
    exported = verify.OnnxNet(file) if file else None
    model, size, ratio = verify.settle(options.model, options.crop_size, options.crop_ratio, exported)
    crop = verify.crop_of(model, size, ratio)
    records = FolderSet(options.data_dir, 'val') if options.data_dir else RecordSet(options.rec_dir, 'val')
    classes = options.num_classes or len(records.classes or ()) or 1000
    if not (file or options.resume) and classes != 1000 and model in list_models(pretrained=True):
        raise InputError(f'the published weights know 1000 classes, not {classes}; give a .params file with --resume')
    device = choose_device(options.no_cuda or bool(file), job.local_rank)
    settings = {'model': model, 'engine': engine, 'precision': options.precision, 'crop_size': size}
    if file:
        net = verify.onnx_engine(exported, classes)
    else:
        network, images = get_model(model, classes=classes, pretrained=options.resume or True, ctx=device), None
        if options.precision != 'float32':
            source, settings['calibration'] = calibration.calibration_records(
                options.calibration, options.rec_dir, options.data_dir, needed=options.precision == 'int8')
            images = source and calibration.calibration_batches(source, crop, options.calibration_images)
        net = verify.gluon_engine(network, options.precision, device, size, options.batch_size, images,
                                  options.calibration_mode)
        if options.precision != 'float32':
            settings['report'] = net.report
            if job.rank == 0:
                print(net.describe())
    job.agree('number of images', len(records))
    batches = verify.picked_batches(len(records), options.limit, options.batch_size, job.rank, job.size)
    loader = Loader(records, crop, batches, classes, options.num_workers)
    with tqdm(total=sum(map(len, batches)), unit='image', disable=job.rank or not sys.stderr.isatty()) as bar, \
            distributed.tell_lost_rank(job):
        found = evaluate(net, loader, device, bar.update)
        *totals, rate = job.total([found[name] or 0 for name in (*verify.COUNTS, 'images_per_second')], 'all')
    found = verify.result(totals, rate, file or options.resume or model, **settings)
    if job.rank == 0:
        print(verify.result_line(found))
        if options.json:
            replace_file(options.json, json.dumps(found, indent=1))
    job.finish()


if __name__ == '__main__':
    run_command(main)
