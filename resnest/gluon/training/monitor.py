"""What a run shows and writes: progress bar, ``log.jsonl``, ``curves.png``, ``summary.json``."""
import json
import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

__all__ = ['Monitor']


class Monitor:
    """Writes into ``folder`` on rank 0; on the other ranks (``active=False``) every method does nothing."""

    def __init__(self, folder, active=True):
        self.folder = Path(folder)
        self.active = active
        self.rows = []
        self._bar = None
        self._started = time.perf_counter()
        if active:
            self.folder.mkdir(parents=True, exist_ok=True)

    def restore(self, epochs):
        """Keep the rows of the first ``epochs`` epochs of an earlier run's log, or start an empty one."""
        log = self.folder / 'log.jsonl'
        if not self.active:
            return
        if epochs and log.is_file():
            self.rows = [row for row in map(json.loads, log.read_text().splitlines()) if row['epoch'] < epochs]
        self._replace('log.jsonl', ''.join(json.dumps(row) + '\n' for row in self.rows))

    def begin(self, epoch, epochs, steps):
        """A new epoch's progress bar, where there is a terminal to draw it on."""
        if self.active:
            self._bar = tqdm(total=steps, desc=f'epoch {epoch + 1}/{epochs}', unit='step', leave=False,
                             disable=not sys.stderr.isatty())

    def advance(self, steps, **figures):
        """Move the bar on and show the figures beside it."""
        if self.active:
            self._bar.set_postfix(figures, refresh=False)
            self._bar.update(steps)

    def end(self, row):
        """Close the epoch: a line on the terminal, a line in the log."""
        if not self.active:
            return
        self._bar.close()
        self.rows.append(row)
        with open(self.folder / 'log.jsonl', 'a') as log:
            log.write(json.dumps(row) + '\n')
        print(f"epoch {row['epoch'] + 1:3d}  loss {row['loss']:.4f}  lr {row['lr']:.4g}  "
              f"train {row['train_top1']:.2f} %" + (f"  val {row['top1']:.2f} %" if 'top1' in row else '') +
              f"  {row['images_per_second']:.0f} images/s  waiting {row['waiting']:.0%}", flush=True)

    def curves(self):
        """Draw loss, accuracy and learning rate over the epochs."""
        if not self.active or not self.rows:
            return
        import matplotlib
        matplotlib.use('Agg')
        from matplotlib import pyplot
        from matplotlib.ticker import MaxNLocator
        epochs = [row['epoch'] + 1 for row in self.rows]
        evaluated = [row for row in self.rows if 'top1' in row]
        figure, (loss, accuracy, rate) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout='constrained')
        loss.plot(epochs, [row['loss'] for row in self.rows], label='training', marker='.')
        loss.set(title='loss', ylabel='cross entropy')
        accuracy.plot(epochs, [row['train_top1'] for row in self.rows], label='training', marker='.')
        accuracy.plot([row['epoch'] + 1 for row in evaluated], [row['top1'] for row in evaluated],
                      label='validation', marker='.')
        if evaluated:
            best = max(evaluated, key=lambda row: row['top1'])
            accuracy.annotate(f"best {best['top1']:.2f} %", (best['epoch'] + 1, best['top1']), xytext=(0, -28),
                              textcoords='offset points', ha='center', arrowprops={'arrowstyle': '-', 'color': 'grey'})
        accuracy.set(title='top-1 accuracy', ylabel='%', ylim=(None, 101))
        rate.plot(epochs, [row['lr'] for row in self.rows], marker='.', color='tab:green')
        rate.set(title='learning rate at the end of the epoch')
        for axes in (loss, accuracy, rate):
            axes.set_xlabel('epoch')
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        loss.legend(frameon=False)
        accuracy.legend(frameon=False, loc='lower right')
        part = self.folder / 'curves.png.part'
        figure.savefig(part, format='png', dpi=110)
        pyplot.close(figure)
        os.replace(part, self.folder / 'curves.png')

    def summary(self, **facts):
        """Write the result of the run."""
        if self.active:
            facts['seconds'] = round(time.perf_counter() - self._started, 1)
            self._replace('summary.json', json.dumps(facts, indent=1) + '\n')

    def _replace(self, name, text):
        part = self.folder / f'{name}.part'
        part.write_text(text)
        os.replace(part, self.folder / name)
