"""Exact top-1 and top-5 of a model on RecordIO shards or folders of images; horovodrun -np N shares the images out."""
import json

from resnest.arguments import Parser, add_engine, add_weights, exported_file, number, path_text, plain_path, whole
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__, usage='%(prog)s (--rec-dir DATA | --data-dir DIR) [options]')
    data = parser.add_argument_group('data')
    source = data.add_mutually_exclusive_group(required=True)
    source.add_argument('--rec-dir', type=path_text, help='a folder of shards, a .rec file or a pattern')
    source.add_argument('--data-dir', type=path_text, help='a folder with a folder for each class (or with val/ that '
                        'has them)')
    data.add_argument('--limit', type=whole(1), metavar='N', help='verify N images only, evenly taken from all')
    weights = parser.add_argument_group('weights')
    add_weights(weights, 'resnest50', '.params file to verify, or .onnx file', 'radix=0')
    weights.add_argument('--num-classes', type=whole(1, 10 ** 6), help='classes; those of the weights unless given')
    images = parser.add_argument_group('images')
    images.add_argument('--crop-size', '--input-size', type=whole(1, 1 << 14),
                        help="image side in pixels; the weights', the exported file's or the model's own unless given")
    images.add_argument('--crop-ratio', type=number(above=0, most=1),
                        help="crop / resized short edge; the weights', the exported file's or the model's own unless "
                        'given')
    computing = parser.add_argument_group('computing')
    add_engine(computing)
    computing.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                           help='what the network computes in')
    computing.add_argument('--calibration', type=path_text, metavar='DIR', help='int8, bfloat16: folder or shards of '
                           'images to calibrate and compare with; the training images beside the verified ones unless '
                           'given')
    computing.add_argument('--calibration-images', type=whole(1), default=128, metavar='N',
                           help='how many of them, evenly taken')
    computing.add_argument('--calibration-mode', default='naive', choices=['naive', 'entropy'], help='int8: ranges to '
                           'the extremes of these images, or to what suits their distribution best')
    computing.add_argument('--batch-size', type=whole(1), default=32, help='images at a time')
    computing.add_argument('--num-workers', '-j', type=whole(0, 1024), default=2, help='decoding threads')
    computing.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to, with the accuracy of each class')
    parser.add_argument('--confusion', type=plain_path, metavar='FILE', help='file for the confusion matrix: a picture '
                        '(.png, .pdf, .svg, .jpg), or .json')
    options = parser.parse_args(arguments)
    file = exported_file(options)
    require_writable(options.json, '--json')

    from resnest.gluon.tasks.classification import verify

    found = verify(model=options.model, rec_dir=options.rec_dir, data_dir=options.data_dir, weights=options.resume,
                   onnx_file=file, precision=options.precision, calibration=options.calibration,
                   calibration_images=options.calibration_images, calibration_mode=options.calibration_mode,
                   limit=options.limit, num_classes=options.num_classes, crop_size=options.crop_size,
                   crop_ratio=options.crop_ratio, batch_size=options.batch_size, workers=options.num_workers,
                   no_cuda=options.no_cuda, say=print, progress=True,
                   model_options=options.model_options, confusion=options.confusion)
    if found and options.json:
        replace_file(options.json, json.dumps(found, indent=1))
