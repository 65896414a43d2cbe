"""``curves.png``: loss, accuracy and learning rate of a run, over its epochs."""
from resnest.files import replacing
from resnest.runtime import import_extra

__all__ = ['draw_curves']


def draw_curves(rows, path):
    """Three charts side by side: loss, top-1 of training and validation, learning rate.

    ``rows`` are those of ``log.jsonl``. Raises MissingPackage where matplotlib is not installed.
    """
    import_extra('matplotlib', 'demo').use('Agg')
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator
    epochs = [row['epoch'] for row in rows]
    evaluated = [row for row in rows if 'top1' in row]
    marker = '.' if len(rows) <= 60 else None
    figure, (loss, accuracy, rate) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout='constrained')
    loss.plot(epochs, [row['loss'] for row in rows], label='training', marker=marker)
    loss.set(title='loss', ylabel='cross entropy')
    accuracy.plot(epochs, [row['train_top1'] for row in rows], label='training', marker=marker)
    accuracy.plot([row['epoch'] for row in evaluated], [row['top1'] for row in evaluated], label='validation',
                  marker=marker or '.' if len(evaluated) <= 60 else None)
    if evaluated:
        best = max(evaluated, key=lambda row: row['top1'])
        accuracy.plot(best['epoch'], best['top1'], 'o', mfc='none', color='black', markersize=9,
                      label=f"best: {best['top1']:.2f} % after epoch {best['epoch']}")
    accuracy.set(title='top-1 accuracy', ylabel='%', ylim=(None, 101))
    rate.plot(epochs, [row['lr'] for row in rows], marker=marker, color='tab:green')
    rate.set(title='learning rate', ylabel='at the end of the epoch', ylim=(0, None))
    for axes in (loss, accuracy, rate):
        axes.set_xlabel('epoch')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    loss.legend(frameon=False)
    accuracy.legend(frameon=False, loc='lower right')
    with replacing(path) as part:
        figure.savefig(part, format='png', dpi=110)
    pyplot.close(figure)
