"""Table of the networks: parameters, multiply-adds, crop size, published accuracy; or the published figures of those
of another task."""
import sys


def main(arguments=None):
    pattern, task = '*', 'classification'
    if arguments or sys.argv[1:]:       # not always: where packages are missing, that is what it says
        from resnest.arguments import Parser
        parser = Parser(description=__doc__)
        parser.add_argument('pattern', nargs='?', default='*', metavar='PATTERN',
                            help="only names that match, such as 'resnest50*'")
        parser.add_argument('--task', default=task, choices=(task, 'segmentation', 'detection', 'pose'),
                            help='whose networks: classification (the default), segmentation, detection or pose')
        options = parser.parse_args(arguments)
        pattern, task = options.pattern, options.task

    if task != 'classification':
        from resnest.gluon.catalogue import published_figures
        print(published_figures(pattern, task))
        return
    from resnest.gluon.models.cost import table

    print(table(pattern))
