"""Table of the networks: parameters, multiply-adds, crop size, published accuracy."""
import sys


def main(arguments=None):
    pattern = '*'
    if arguments or sys.argv[1:]:       # not always: where packages are missing, that is what it says
        from resnest.arguments import Parser
        parser = Parser(description=__doc__)
        parser.add_argument('pattern', nargs='?', default='*', metavar='PATTERN',
                            help="only names that match, such as 'resnest50*'")
        pattern = parser.parse_args(arguments).pattern

    from resnest.gluon.models.cost import table

    print(table(pattern))
