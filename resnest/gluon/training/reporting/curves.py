"""``curves.png``: the loss, the figures of the task and the learning rate of a run, over its epochs."""
from resnest.gluon.figures import figure_file

__all__ = ['draw_curves']


def draw_curves(rows, path, figures):
    """Charts side by side: the loss, one for each chart that the task's :class:`.figures.Figures` name, the rate.

    ``rows`` are those of ``log.jsonl``. Raises MissingPackage where matplotlib is not installed.
    """
    charts = [chart for chart in dict.fromkeys(figure.chart for figure in figures.shown) if chart not in (None, 'loss')]
    epochs = [row['epoch'] for row in rows]
    columns = 2 + len(charts)
    with figure_file(path, 1, columns, figsize=(4.33 * columns, 3.8)) as (_, (loss, *others, rate)):
        from matplotlib.ticker import MaxNLocator
        loss.plot(epochs, [row['loss'] for row in rows], label='training', marker=_marker(rows))
        _plot(loss, rows, figures, 'loss')
        loss.set(title='loss', ylabel=figures.loss)
        for axes, chart in zip(others, charts):
            units = _plot(axes, rows, figures, chart)
            axes.set(title=chart, ylabel=' '.join(units), ylim=(None, 101) if units == ['%'] else None)
            axes.legend(frameon=False)
        rate.plot(epochs, [row['lr'] for row in rows], marker=_marker(rows), color='tab:green')
        rate.set(title='learning rate', ylabel='at the end of the epoch', ylim=(0, None))
        for axes in (loss, *others, rate):
            axes.set_xlabel('epoch')
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        loss.legend(frameon=False)


def _plot(axes, rows, figures, chart):
    """Draw the figures of a chart, and a ring around the best; returns their units."""
    shown = [figure for figure in figures.shown if figure.chart == chart]
    for figure in shown:
        found = [row for row in rows if figure.key in row]
        axes.plot([row['epoch'] for row in found], [row[figure.key] for row in found], label=figure.legend,
                  marker=_marker(found))
        if figure.key == figures.best and (best := figures.best_of(found)):
            axes.plot(best['epoch'], best[figure.key], 'o', mfc='none', color='black', markersize=9,
                      label=f"best: {best[figure.key]:.2f} {figure.unit} after epoch {best['epoch']}")
    return list(dict.fromkeys(figure.unit for figure in shown))


def _marker(rows):
    return '.' if len(rows) <= 60 else None
