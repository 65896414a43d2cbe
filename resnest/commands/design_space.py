"""Draw networks from design spaces (AnyNetX A to E, RegNet) within a budget, train them, compare their errors.

Networks that are finished are not trained again. Options of resnest train for all networks come last, after --; without
data among them the networks are drawn and nothing is trained. Started by horovodrun, mpirun or srun, each process
trains a share of the networks.
"""
from pathlib import Path

from resnest.arguments import LARGEST_SEED, Parser, number, plain_path, whole
from resnest.commands.ablation import add_launcher, own_words, recipe_options, train_command
from resnest.errors import InputError
from resnest.reading import not_among

EPOCHS = 10


def main(arguments=None):
    parser = Parser(description=__doc__, usage='%(prog)s SPACE ... [options] [-- TRAIN_OPTION ...]')
    parser.add_argument('spaces', nargs='+', metavar='SPACE', help='A to E or RegNet')
    parser.add_argument('--networks', type=whole(2, 10000), default=500, metavar='N', help='of each space')
    parser.add_argument('--seed', type=whole(0, LARGEST_SEED), default=0, help='of the drawing')
    parser.add_argument('--budget', type=number(above=0, most=1e6), nargs=2, default=[360, 400],
                        metavar=('LEAST', 'MOST'), help='millions of multiply-adds, at --input-size px')
    parser.add_argument('--radix', type=whole(1, 32), help='splits of split attention; without it unless given')
    parser.add_argument('--max-depth', type=whole(1, 64), default=16, help='blocks of a stage')
    parser.add_argument('--max-width', type=whole(8, 4096), default=1024, help='channels of a stage')
    parser.add_argument('--max-group', type=whole(1, 1024), default=32, help='channels of a group')
    parser.add_argument('--stem', type=whole(2, 1024), default=32, help='channels of the stem, an even number')
    parser.add_argument('--out', type=plain_path, default=Path('runs/design_space'), help='folder of the results')
    add_launcher(parser, 'a network')
    own, words = own_words(arguments)
    options = parser.parse_args(own)
    if options.budget[0] > options.budget[1]:
        raise InputError(f'--budget: the least, {options.budget[0]:g}, is more than the most, {options.budget[1]:g}')
    if options.stem % 2:
        raise InputError(f'--stem must be an even number, got {options.stem}')

    from resnest.gluon.tasks.classification import ClassificationConfig
    from resnest.gluon.tasks.classification.design_space.spaces import SPACES, Limits, sample
    from resnest.gluon.tasks.classification.design_space.study import Study

    for name in options.spaces:
        if name not in SPACES or options.spaces.count(name) > 1:
            raise InputError(f'SPACE {not_among(name, SPACES)}' if name not in SPACES else
                             f'the space {name} is given twice; once will do')
    values = {'num_epochs': EPOCHS, **recipe_options(words, 'a design space: give the options themselves')}
    ClassificationConfig(**values)      # refuses what no network could be trained with
    size, classes = values.get('input_size') or 224, values.get('num_classes') or 1000
    train = train_command(options)
    limits = Limits(options.max_depth, options.max_width, options.max_group, stem=options.stem, radix=options.radix)
    budget = [round(1e6 * each) for each in options.budget]
    spaces = {name: sample(SPACES[name], options.networks, options.seed, budget, limits, size, classes)
              for name in options.spaces}
    study = Study(spaces, values, {'seed': options.seed, 'budget': budget, 'size': size, 'classes': classes,
                                   **vars(limits)})
    return _run(study, options, train, values)


def _run(study, options, train, values):
    from resnest.launchers import current

    task, code = current(), 0
    if values.get('rec_train') or values.get('data_dir'):
        share = {}
        if task:
            if options.ranks > 1 or options.launcher:
                raise InputError(f'--ranks and --launcher: {task.launcher.name} has started this command already, to '
                                 f'train several networks at once; leave them out')
            train, share = [*_alone(task), *train], {'rank': task.rank, 'size': task.size}
        code = study.train(options.out, train, lambda text: print(text, flush=True), **share)
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        study.draw(options.out)
    if not task or task.rank == 0:
        print(f"\n{study.table()}\nnetworks, figures and pictures: {options.out / 'design_space.json'}, "
              f'distributions.png and parameters.png')
    return code


def _alone(task):
    """What starts a process that joins no other, on its parent's share of the cores and GPUs."""
    import os

    from resnest.launchers import VARIABLES
    from resnest.threads import OURS

    local = int(os.environ.get(task.launcher.local_rank or '') or 0)
    gpus = [name for name in os.environ.get('CUDA_VISIBLE_DEVICES', '').split(',') if name]
    own = gpus[local:local + 1] or gpus or [local]      # a launcher may have chosen one already
    left_out = [word for name in sorted({*VARIABLES, OURS} & {*os.environ}) for word in ('-u', name)]
    return ['env', *left_out, f"CUDA_VISIBLE_DEVICES={','.join(map(str, own))}"]
