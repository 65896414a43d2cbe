"""``python -m resnest env`` and ``python -m resnest models [PATTERN]``."""
import argparse

from resnest.errors import run_command


def main(argv=None):
    parser = argparse.ArgumentParser(prog='python -m resnest', description='ResNeSt for MXNet Gluon')
    commands = parser.add_subparsers(dest='command', metavar='{env,models}', required=True)
    commands.add_parser('env', help='versions, threads, devices, Horovod, and what is missing')
    models = commands.add_parser('models', help='table of the networks: parameters, multiply-adds, crop size, accuracy')
    models.add_argument('pattern', nargs='?', default='*', metavar='PATTERN',
                        help="only names that match, such as 'resnest50*'")
    arguments = parser.parse_args(argv)
    if arguments.command == 'env':
        from resnest.environment import describe
        print(describe())
    else:
        from resnest.gluon.models.cost import table
        print(table(arguments.pattern))


if __name__ == '__main__':
    run_command(main)
