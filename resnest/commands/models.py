"""Table of the networks: parameters, multiply-adds, crop size, published accuracy."""
import argparse


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('pattern', nargs='?', default='*', metavar='PATTERN',
                        help="only names that match, such as 'resnest50*'")
    options = parser.parse_args(arguments)

    from resnest.gluon.models.cost import table

    print(table(options.pattern))
