"""Exact pixel accuracy and mean IoU of a segmentation network; horovodrun -np N shares the pictures out."""
import json

from resnest.arguments import Parser, add_engine, add_weights, exported_file, path_text, plain_path, whole
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__, usage='%(prog)s --data-dir DIR [options]')
    data = parser.add_argument_group('data')
    data.add_argument('--data-dir', type=path_text, help='data set: ADE20K, Cityscapes or Pascal VOC as they are '
                      'unpacked, or images/val/ beside maps/val/ and so on')
    data.add_argument('--images', type=path_text, help='instead: a folder of images, with val/ in it or not')
    data.add_argument('--maps', type=path_text, help='and the folder of their maps, of the same names')
    data.add_argument('--classes', type=path_text, help='names of the classes: a file with one on each line')
    data.add_argument('--limit', type=whole(1), metavar='N', help='verify N pictures only, evenly taken from all')
    weights = parser.add_argument_group('weights')
    add_weights(weights, 'deeplab_resnest50_ade',
                '.params file to verify, .onnx file, or the prefix of exported optimized files')
    images = parser.add_argument_group('images')
    images.add_argument('--multi-scale', action='store_true', help='six scales and mirror images, in sliding crops, as '
                        'the published figures were measured')
    images.add_argument('--base-size', type=whole(1, 1 << 14), help="longer side of a picture in pixels; the weights' "
                        'own unless given')
    images.add_argument('--crop-size', type=whole(1, 1 << 14), help="side of the crops of --multi-scale; the weights' "
                        'own unless given')
    computing = parser.add_argument_group('computing')
    add_engine(computing)
    computing.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                           help='what the network computes in')
    computing.add_argument('--calibration-images', type=whole(1), default=32, metavar='N', help='int8, bfloat16: how '
                           'many training pictures to calibrate and compare with')
    computing.add_argument('--num-workers', '-j', type=whole(0, 1024), default=2, help='decoding threads')
    computing.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    file = exported_file(options)
    require_writable(options.json, '--json')

    from resnest.gluon.tasks.segmentation import verify

    found = verify(options.data_dir, options.images, options.maps, options.classes, options.model,
                   file or options.resume, options.model_options, options.precision, options.multi_scale,
                   options.calibration_images, options.limit, options.crop_size, options.base_size,
                   options.num_workers, options.no_cuda, print, True)
    if found and options.json:
        replace_file(options.json, json.dumps(found, indent=1))
