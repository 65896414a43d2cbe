"""Train the rows of an ablation, then table and draw them.

Rows that are finished are not trained again. Options of resnest train for all rows come last, after --.
"""
import sys
from pathlib import Path

from resnest.arguments import Parser, plain_path, plain_text, whole
from resnest.errors import InputError


def main(arguments=None):
    parser = Parser(description=__doc__, usage='%(prog)s SPEC [options] [-- TRAIN_OPTION ...]')
    parser.add_argument('spec', type=plain_path, help="YAML file of the rows, or one of the package's: "
                        'ablation, ablation_digits, ablation_splits')
    parser.add_argument('--only', nargs='+', metavar='ROW', help='names of the rows to train; all unless given')
    parser.add_argument('--out', type=plain_path,
                        help='folder of the results (default: runs/ and the name of the spec)')
    parser.add_argument('--ranks', '--workers', type=whole(1, 1024), default=1, metavar='N',
                        help='Horovod processes on this machine')
    parser.add_argument('--launcher', type=plain_text, metavar='COMMAND',
                        help="what starts the processes of a row, with its options: "
                        "'horovodrun -np 64 --hostfile hosts'")
    words = sys.argv[1:] if arguments is None else list(arguments)
    place = words.index('--') if '--' in words else len(words)
    options = parser.parse_args(words[:place])

    import shlex

    from resnest.gluon.tasks.classification import ClassificationConfig
    from resnest.gluon.tasks.classification.ablation.rows import chosen, format_rows, read_spec, train_rows
    from resnest.gluon.training import add_options
    from resnest.gluon.training.fields import fields_of

    train_options = Parser(prog='resnest train')
    add_options(train_options, ClassificationConfig)
    given = vars(train_options.parse_args(words[place + 1:]))
    if given['config'] or given['print_config']:
        raise InputError('--config and --print-config do not go with an ablation: its spec has the options')
    known = fields_of(ClassificationConfig)
    rows = read_spec(options.spec, {name: value for name, value in given.items() if name in known})
    if not all(row.values.get('rec_train') or row.values.get('data_dir') for row in rows):
        raise InputError('the data are missing: end the command with -- --rec-train FOLDER or -- --data-dir FOLDER')
    launcher = []
    if options.launcher:
        try:
            launcher = shlex.split(options.launcher)
        except ValueError as error:
            raise InputError(f'--launcher {options.launcher}: {error}') from None
    elif options.ranks > 1:
        launcher = ['horovodrun', '-np', options.ranks, '-H', f'localhost:{options.ranks}']
    out = options.out or Path('runs', options.spec.stem)
    train = [*launcher, sys.executable, '-m', 'resnest', 'train']
    code = train_rows(rows, chosen(rows, options.only) if options.only else rows, out, train,
                      lambda text: print(text, flush=True))
    print(f"\n{format_rows(rows)}\ntable, picture and results: {out / 'ablation.md'}, .png and .json")
    return code
