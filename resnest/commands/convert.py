"""Convert weights: the ResNeSt project's PyTorch .pth, timm's .safetensors, or a detector's for Detectron2 (.pth, .pkl,
.safetensors), to Gluon .params, and back."""
from resnest.arguments import Pairs, Parser, path_text, plain_text


def main(arguments=None):
    parser = Parser(description=__doc__)
    parser.add_argument('source', metavar='SRC', type=path_text,
                        help='.pth, .pkl, .safetensors or .params file, told apart by its content')
    parser.add_argument('target', metavar='DST', type=path_text, help='file to write')
    parser.add_argument('--model', type=plain_text,
                        help="the network, by our name or timm's (resnest50, resnest50d); described weights tell it "
                        'themselves')
    parser.add_argument('--model-options', nargs='+', action=Pairs, metavar='KEY=VALUE', help="what differs from the "
                        "model's row, for weights that do not tell it themselves: radix=0")
    parser.add_argument('--to', choices=('params', 'safetensors', 'pkl'),
                        help="format to write: Gluon's, or safetensors with timm's names, or with Detectron2's as a "
                        "pickle for it; by DST's ending unless given")
    options = parser.parse_args(arguments)

    from resnest.gluon.catalogue import convert
    from resnest.gluon.models.weights.conversion import described

    count, classes = convert(options.source, options.target, options.model, options.to, options.model_options)
    known = described(options.target)
    print(f'{options.target}: {f"{known.model}, " if known else ""}{count} arrays, '
          f'{f"{classes} classes" if classes else "a backbone"}')
