"""Tell where the joints of people in pictures are, and draw their skeletons."""
from resnest.arguments import Parser, add_weights, number, plain_path
from resnest.errors import InputError
from resnest.files import finish_pictures, require_writable


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('images', metavar='IMAGE', nargs='+', help='a picture of any format, or a folder of them')
    add_weights(parser, 'simple_pose_resnest50',
                'parameter file (.params), .onnx file, or the prefix of exported optimized files')
    parser.add_argument('--boxes', type=plain_path, help='what resnest detect --json has written of the same pictures; '
                        'without it a picture is one person')
    parser.add_argument('--least-score', type=number(0, 1), default=0.5, help='of the boxes that are looked at')
    parser.add_argument('--names', nargs='+', metavar='NAME', help='of the objects of --boxes that are looked at: '
                        'person (all unless given)')
    parser.add_argument('--no-flip', action='store_true', help='do not look at mirror images, too')
    parser.add_argument('--pictures', type=plain_path, metavar='DIR', help='folder for a PNG of each picture with the '
                        'skeletons')
    parser.add_argument('--no-cuda', action='store_true', help='use the CPU even where there is a GPU')
    parser.add_argument('--json', type=plain_path, help='file to write the result to')
    options = parser.parse_args(arguments)
    if options.names and not options.boxes:
        raise InputError('--names are those of the objects of --boxes; give --boxes, or leave them out')
    require_writable(options.json, '--json')

    from resnest.gluon.tasks.pose import pose_pictures

    results, problems = pose_pictures(options.images, options.model, options.resume, options.model_options,
                                      options.boxes, options.least_score, options.names, not options.no_flip,
                                      options.pictures, options.no_cuda, print)
    finish_pictures(options.json, {'pictures': results}, problems)
