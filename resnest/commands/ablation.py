"""Train the rows of an ablation, then table and draw them.

Rows that are finished are not trained again. Options of resnest train for all rows come last, after --.
"""
import shlex
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
    add_launcher(parser, 'a row')
    own, words = own_words(arguments)
    options = parser.parse_args(own)

    from resnest.gluon.tasks.classification.ablation.rows import chosen, format_rows, read_spec, train_rows

    rows = read_spec(options.spec, recipe_options(words, 'an ablation: its spec has the options'))
    if not all(row.values.get('rec_train') or row.values.get('data_dir') for row in rows):
        raise InputError('the data are missing: end the command with -- --rec-train FOLDER or -- --data-dir FOLDER')
    train = train_command(options)
    out = options.out or Path('runs', options.spec.stem)
    code = train_rows(rows, chosen(rows, options.only) if options.only else rows, out, train,
                      lambda text: print(text, flush=True))
    print(f"\n{format_rows(rows)}\ntable, picture and results: {out / 'ablation.md'}, .png and .json")
    return code


def add_launcher(parser, what):
    """Add ``--ranks`` and ``--launcher`` to a command that trains many; :func:`train_command` reads them."""
    parser.add_argument('--ranks', '--workers', type=whole(1, 1024), default=1, metavar='N',
                        help='Horovod processes on this machine')
    parser.add_argument('--launcher', type=plain_text, metavar='COMMAND',
                        help=f"what starts the processes of {what}, with its options: "
                        "'horovodrun -np 64 --hostfile hosts'")


def own_words(arguments=None):
    """The words of a command line before and after ``--``."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    place = words.index('--') if '--' in words else len(words)
    return words[:place], words[place + 1:]


def recipe_options(words, what):
    """The options of ``resnest train`` among words, by name; InputError that names ``what`` for a whole recipe."""
    from resnest.gluon.tasks.classification import ClassificationConfig
    from resnest.gluon.training import add_options
    from resnest.gluon.training.fields import fields_of

    parser = Parser(prog='resnest train')
    add_options(parser, ClassificationConfig)
    given = vars(parser.parse_args(words))
    if given['config'] or given['print_config']:
        raise InputError(f'--config and --print-config do not go with {what}')
    return {name: value for name, value in given.items() if name in fields_of(ClassificationConfig)}


def train_command(options):
    """The words that start ``resnest train`` by the launcher that was asked for; InputError for what is no command."""
    launcher = []
    if options.launcher:
        try:
            launcher = shlex.split(options.launcher)
        except ValueError as error:
            raise InputError(f'--launcher {options.launcher}: {error}') from None
    elif options.ranks > 1:
        launcher = ['horovodrun', '-np', options.ranks, '-H', f'localhost:{options.ranks}']
    return [*launcher, sys.executable, '-m', 'resnest', 'train']
