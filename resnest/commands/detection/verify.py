"""Exact AP of boxes and masks, and panoptic quality, of a detector; horovodrun -np N shares the pictures out."""
import json

from resnest.arguments import Parser, add_weights, path_text, plain_path, whole
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__, usage='%(prog)s --data-dir DIR [options]')
    data = parser.add_argument_group('data')
    data.add_argument('--data-dir', type=path_text, help='COCO as it is unpacked: annotations/instances_val2017.json '
                      'beside val2017/; or without the year')
    data.add_argument('--annotations', type=path_text, help="instead: a file of annotations in COCO's JSON")
    data.add_argument('--images', type=path_text, help='and the folder of its pictures')
    data.add_argument('--limit', type=whole(1), metavar='N', help='verify N pictures only, evenly taken from all')
    weights = parser.add_argument_group('weights')
    add_weights(weights, 'faster_rcnn_fpn_resnest50', 'file of weights to verify')
    images = parser.add_argument_group('images')
    images.add_argument('--short-sides', type=whole(1, 1 << 14), nargs='+', metavar='PIXELS', help='short side of the '
                        "pictures; of several, what is found at each is merged; the weights' own unless given")
    images.add_argument('--flip', action='store_true', help='look at mirror images too, and merge')
    computing = parser.add_argument_group('computing')
    computing.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                           help='what the network computes in')
    computing.add_argument('--calibration-images', type=whole(1), default=8, metavar='N', help='int8, bfloat16: how '
                           'many training pictures to calibrate and compare with')
    computing.add_argument('--batch-size', type=whole(1), default=1, help='pictures of one shape at a time')
    computing.add_argument('--num-workers', '-j', type=whole(0, 1024), default=2, help='decoding threads')
    computing.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    require_writable(options.json, '--json')

    from resnest.gluon.tasks.detection import verify

    found = verify(options.data_dir, options.annotations, options.images, options.model, options.resume,
                   options.model_options, options.precision, options.short_sides, options.flip, options.batch_size,
                   options.calibration_images, options.limit, options.num_workers, options.no_cuda, print, True)
    if found and options.json:
        replace_file(options.json, json.dumps(found, indent=1))
