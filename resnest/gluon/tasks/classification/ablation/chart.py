"""``ablation.png``: the accuracy of each row, beside the published one."""
import math

from resnest.gluon.figures import figure_file

__all__ = ['draw_rows']


def draw_rows(rows, path):
    """Bars of top-1, with its standard error, and of the published top-1 where a row has one.

    ``rows`` are :class:`.rows.Row`. Raises MissingPackage where matplotlib is not installed.
    """
    kinds = [('trained here', 'top1', 'tab:blue', -1), ('published', 'published', 'lightgrey', 1)]
    kinds = [kind for kind in kinds if any(getattr(row, kind[1]) is not None for row in rows)]
    thick = 0.8 / max(1, len(kinds))
    with figure_file(path, figsize=(8, 1.4 + 0.6 * len(rows))) as (figure, axes):
        low, high = 100.0, 0.0
        for label, name, color, side in kinds:
            shown = [(place, row) for place, row in enumerate(rows) if getattr(row, name) is not None]
            values = [getattr(row, name) for _, row in shown]
            errors = [row.error if name == 'top1' else 0 for _, row in shown]
            places = [place + side * thick / 2 * (len(kinds) - 1) for place, _ in shown]
            axes.barh(places, values, thick, color=color, label=label,
                      xerr=errors if any(errors) else None, ecolor='black', capsize=3)
            for place, value, error in zip(places, values, errors):
                axes.annotate(f'{value:.2f}', (value + error, place), (4, 0), textcoords='offset points', va='center')
            low = min(low, *(value - error for value, error in zip(values, errors)))
            high = max(high, *(value + error for value, error in zip(values, errors)))
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        for place, row in enumerate(rows):
            if row.top1 is None and row.published is None:
                axes.annotate('failed' if row.failure else 'not trained', (0.01, place), va='center', color='grey',
                              xycoords=('axes fraction', 'data'))
        margin = 0.25 * max(1.0, high - low)
        start = math.floor(low - margin) if low > 0.6 * high else 0
        axes.set(xlabel=f'top-1 (%); the axis starts at {start}', xlim=(start, high + margin if kinds else 100),
                 ylim=(len(rows) - 0.5, -0.5))
        axes.set_xticks([tick for tick in axes.get_xticks() if start <= tick <= 100])
        axes.grid(axis='x', alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
        if kinds:
            figure.legend(loc='outside upper center', ncols=2, frameon=False)
