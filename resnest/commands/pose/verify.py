"""Exact average precision of joints (OKS), with and without mirror images; horovodrun -np N shares the people out."""
import json

from resnest.arguments import Parser, add_engine, add_weights, exported_file, path_text, plain_path, whole
from resnest.files import replace_file, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__, usage='%(prog)s --data-dir DIR [options]')
    data = parser.add_argument_group('data')
    data.add_argument('--data-dir', type=path_text, help="data set in COCO's layout: "
                      'annotations/person_keypoints_val2017.json beside val2017/')
    data.add_argument('--annotations', type=path_text, help='instead: a file of annotations')
    data.add_argument('--images', type=path_text, help='and the folder of its pictures')
    weights = parser.add_argument_group('weights')
    add_weights(weights, 'simple_pose_resnest50',
                '.params file to verify, .onnx file, or the prefix of exported optimized files', 'height=384 width=288')
    computing = parser.add_argument_group('computing')
    add_engine(computing)
    computing.add_argument('--precision', default='float32', choices=['float32', 'bfloat16', 'int8'],
                           help='what the network computes in')
    computing.add_argument('--calibration-images', type=whole(1), default=32, metavar='N', help='int8: how many people '
                           'to train on to calibrate with')
    computing.add_argument('--no-flip', action='store_true', help='leave out the measurement with mirror images')
    computing.add_argument('--batch-size', type=whole(1), default=32, help='people at a time')
    computing.add_argument('--num-workers', '-j', type=whole(0, 1024), default=2, help='decoding threads')
    computing.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    file = exported_file(options)
    require_writable(options.json, '--json')

    from resnest.gluon.tasks.pose import verify

    found = verify(options.data_dir, options.annotations, options.images, options.model,
                   file or options.resume, options.model_options, options.precision, not options.no_flip,
                   options.calibration_images, options.batch_size, options.num_workers, options.no_cuda, print, True)
    if found and options.json:
        replace_file(options.json, json.dumps(found, indent=1))
