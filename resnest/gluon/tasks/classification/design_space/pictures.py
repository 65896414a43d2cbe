"""``distributions.png``: the errors of spaces side by side; ``parameters.png``: the error against each parameter."""
import numpy as np

from resnest.gluon.figures import figure_file

from .networks import Networks

__all__ = ['draw_distributions', 'draw_parameters']


def draw_distributions(spaces, path):
    """The empirical distribution function of each space's errors with its bootstrap band.

    ``spaces`` are those of :meth:`.study.Study.summary` of which networks are trained. Raises MissingPackage where
    matplotlib is not installed.
    """
    with figure_file(path, figsize=(7, 4.5)) as (figure, axes):
        for number, (name, space) in enumerate(spaces.items()):
            found = space['distribution']
            count, total = len(found['error']), len(space['networks'])
            # The share is 0 below the least error, and rises at each.
            error, color = [found['error'][0], *found['error']], f'C{number}'
            axes.step(error, [0, *found['share']], where='post', color=color,
                      label=f'{name}: least {space["least"]:.1f} %, mean {space["mean"]:.1f} %'
                      f' ({count if count == total else f"{count} of {total}"} networks)')
            axes.fill_between(error, [0, *found['low']], [0, *found['high']], step='post', color=color, alpha=0.2,
                              linewidth=0)
        axes.set(xlabel='error (%)', ylabel='share of the networks', ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.spines[['top', 'right']].set_visible(False)
        figure.legend(loc='outside upper center', frameon=False)


def draw_parameters(spaces, path):
    """The error of each network against its parameters in each stage, and where 95 % of the best ones lie (shaded).

    ``spaces`` as :func:`draw_distributions` has them. Raises MissingPackage where matplotlib is not installed.
    """
    names = dict(zip(Networks.PARAMETERS, ('depth', 'width', 'bottleneck ratio', 'group width')))
    with figure_file(path, len(names), 4, figsize=(12, 10), sharey=True) as (figure, axes):
        for (row, label), stage in ((each, stage) for each in enumerate(names.items()) for stage in range(4)):
            plot = axes[row, stage]
            for number, (space, found) in enumerate(spaces.items()):
                trained = [each for each in found['networks'] if each['error'] is not None]
                points = np.array([(each[label[0]][stage], each['error']) for each in trained])
                plot.scatter(*points.T, s=10, color=f'C{number}', alpha=0.6, linewidths=0, label=space)
                low, middle, high = found['best'][label[0]][stage]
                plot.axvspan(low, high, color=f'C{number}', alpha=0.08)
                plot.axvline(middle, color=f'C{number}', alpha=0.5)
            plot.set_xscale('log', base=2)
            plot.xaxis.set_major_formatter(lambda value, _: f'{value:g}')
            plot.set_xlabel(f'{label[1]} of stage {stage + 1}')
            if not stage:
                plot.set_ylabel('error (%)')
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc='outside upper center', ncols=len(spaces),
                      frameon=False)
