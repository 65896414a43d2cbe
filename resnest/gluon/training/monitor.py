"""What a run shows and writes: progress bar, ``log.jsonl``, ``curves.png``, ``summary.json``."""
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

from resnest.errors import InputError
from resnest.files import replace_file, replacing

__all__ = ['Monitor']


LINE_SECONDS = 30


class Monitor:
    """Writes into ``folder`` on rank 0; on the other ranks (``active=False``) every method does nothing.

    ``rows`` and ``seconds`` are those of the run that is resumed. Nothing is written before the first epoch ends.
    """

    def __init__(self, folder, active=True, rows=(), seconds=0.0):
        self.folder = Path(folder)
        self.active = active
        self.rows = list(rows)
        self._bar = None
        self._line = self._started = time.perf_counter()
        self._before = seconds
        if active:
            _check_writable(self.folder)
            if importlib.util.find_spec('matplotlib') is None:
                print("note: no curves.png will be drawn: pip install 'resnest[demo]' brings matplotlib")

    def seconds(self):
        """Of the whole run, in seconds."""
        return self._before + time.perf_counter() - self._started

    def begin(self, epoch, epochs, steps):
        """A new epoch's progress: a bar on a terminal, elsewhere a line every half minute."""
        if self.active:
            self._bar = tqdm(total=steps, desc=f'epoch {epoch + 1}/{epochs}', unit='step', leave=False,
                             disable=not sys.stderr.isatty())
            self._done, self._steps, self._line = 0, steps, time.perf_counter()

    def advance(self, steps, **figures):
        """Move on and show the figures."""
        if not self.active:
            return
        self._done += steps
        self._bar.set_postfix(figures, refresh=False)
        self._bar.update(steps)
        if self._bar.disable and time.perf_counter() - self._line > LINE_SECONDS and self._done < self._steps:
            self._line = time.perf_counter()
            shown = '  '.join(f'{name} {value}' for name, value in figures.items())
            print(f'  step {self._done}/{self._steps}  {shown}', flush=True)

    def end(self, row):
        """Close the epoch: a line on the terminal, a line in the log."""
        if not self.active:
            return
        self._bar.close()
        self.rows.append(row)
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / 'log.jsonl', ''.join(json.dumps(each) + '\n' for each in self.rows))
        print(f"epoch {row['epoch']:3d}  loss {row['loss']:.4f}  lr {row['lr']:.4g}  "
              f"train {row['train_top1']:.2f} %" + (f"  val {row['top1']:.2f} %" if 'top1' in row else '') +
              f"  {row['images_per_second']:.0f} images/s  waiting {row['waiting']:.0%}" +
              (f"  {row['skipped']} bad records skipped" if 'skipped' in row else ''), flush=True)

    def curves(self):
        """Draw loss, accuracy and learning rate over the epochs; training goes on where that fails."""
        if self.active and importlib.util.find_spec('matplotlib'):
            try:
                draw_curves(self.rows, self.folder / 'curves.png')
            except Exception as error:
                print(f'note: no curves.png: {type(error).__name__}: {error}')

    def summary(self, **facts):
        """Write the result of the run."""
        if self.active:
            facts['seconds'] = round(self.seconds(), 1)
            replace_file(self.folder / 'summary.json', json.dumps(facts, indent=1) + '\n')


def _check_writable(folder):
    """Raise InputError now rather than after the first epoch."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f'{folder}: cannot be written to; use another --save-dir')


def draw_curves(rows, path):
    """Three charts side by side: loss, top-1 of training and validation, learning rate."""
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    from matplotlib.ticker import MaxNLocator
    epochs = [row['epoch'] for row in rows]
    evaluated = [row for row in rows if 'top1' in row]
    figure, (loss, accuracy, rate) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout='constrained')
    loss.plot(epochs, [row['loss'] for row in rows], label='training', marker='.')
    loss.set(title='loss', ylabel='cross entropy')
    accuracy.plot(epochs, [row['train_top1'] for row in rows], label='training', marker='.')
    accuracy.plot([row['epoch'] for row in evaluated], [row['top1'] for row in evaluated],
                  label='validation', marker='.')
    if evaluated:
        best = max(evaluated, key=lambda row: row['top1'])
        accuracy.annotate(f"best {best['top1']:.2f} %", (best['epoch'], best['top1']), xytext=(0, -28),
                          textcoords='offset points', ha='center', arrowprops={'arrowstyle': '-', 'color': 'grey'})
    accuracy.set(title='top-1 accuracy', ylabel='%', ylim=(None, 101))
    rate.plot(epochs, [row['lr'] for row in rows], marker='.', color='tab:green')
    rate.set(title='learning rate at the end of the epoch')
    for axes in (loss, accuracy, rate):
        axes.set_xlabel('epoch')
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    loss.legend(frameon=False)
    accuracy.legend(frameon=False, loc='lower right')
    with replacing(path) as part:
        figure.savefig(part, format='png', dpi=110)
    pyplot.close(figure)
