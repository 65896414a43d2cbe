"""What a run shows and writes: progress bar, ``log.jsonl``, TensorBoard events, ``curves.png``, ``summary.json``."""
import json
import os
import sys
import time
from pathlib import Path

from tqdm import tqdm

from resnest.errors import InputError, MissingPackage
from resnest.files import replace_file

from .curves import draw_curves
from .tensorboard import EventWriter

__all__ = ['Monitor']


class Monitor:
    """Writes into ``folder`` on rank 0; on the other ranks (``active=False``) every method does nothing.

    ``figures`` are the task's (:class:`.figures.Figures`), ``rows`` and ``seconds`` those of the run that is resumed.
    Nothing is written before the first epoch ends. A file that cannot be written later on, as on a full disk, is told
    and costs no training.
    """

    def __init__(self, folder, figures, active=True, rows=(), seconds=0.0):
        self.folder = Path(folder)
        self.figures = figures
        self.active = active
        self.rows = list(rows)
        self._started = time.perf_counter()
        self._before = seconds
        self._trained = 0           # steps in this process
        self._training = 0.0        # seconds of these steps
        self._bar = self._events = None
        self._without = set()       # what cannot be drawn or written: told once
        if active:
            _check_writable(self.folder)

    def seconds(self):
        """Of the whole run, in seconds."""
        return self._before + time.perf_counter() - self._started

    def begin(self, epoch, epochs, steps, done=0):
        """A new epoch's progress, from its step ``done`` on: a bar on a terminal, nothing elsewhere."""
        if self.active:
            self._bar = tqdm(total=steps, initial=done, desc=f'epoch {epoch + 1}/{epochs}', unit='step', leave=False,
                             dynamic_ncols=True, disable=not sys.stderr.isatty())
            self._left = (epochs - epoch) * steps - done
            self._last = time.perf_counter()

    def advance(self, steps, images=0, waited=0.0, **figures):
        """Move on by ``steps`` and show the figures.

        ``images`` (of all ranks) and ``waited`` (seconds without data) are those since the last call; they become
        images/s and the share of time spent waiting. The time left is that of all epochs to come.
        """
        if not self.active:
            return
        now = time.perf_counter()
        seconds, self._last = max(now - self._last, 1e-9), now
        self._trained += steps
        self._training += seconds
        self._left -= steps
        if images:
            figures.update({'images/s': f'{images / seconds:.0f}', 'waiting': f'{min(1, waited / seconds):.0%}'})
        figures['left'] = tqdm.format_interval(self._time_left())
        self._bar.set_postfix(figures, refresh=False)
        self._bar.update(steps)

    def _time_left(self):
        """Seconds of training to come, at the speed so far."""
        return self._left * self._training / max(1, self._trained)

    def end(self, row):
        """Close the epoch: a line on the terminal, a line in the log, points for TensorBoard.

        ``row`` is a dict with ``epoch``, ``loss``, ``lr``, ``images_per_second``, ``waiting`` (a share of 1), and those
        of the task's figures that are known after this epoch; the time of writing is added.
        """
        if not self.active:
            return
        self._bar.close()
        row.setdefault('time', round(time.time(), 3))
        self.rows.append(row)
        left = f'  left {tqdm.format_interval(self._time_left())}' if self._left > 0 and self._trained else ''
        own = ''.join(f'  {each.line} {row[each.key]:.{each.digits}f} {each.unit}'.rstrip()
                      for each in self.figures.shown if each.line and each.key in row)
        print(f"epoch {row['epoch']:3d}  loss {row['loss']:.4f}  lr {row['lr']:.4g}{own}"
              f"  {row['images_per_second']:.0f} images/s  waiting {row['waiting']:.0%}" +
              (f"  {row['skipped']} bad records skipped" if 'skipped' in row else '') + left, flush=True)
        self._try('log.jsonl', self._write_log)
        self._try('tensorboard/', self._write_events)

    def curves(self):
        """Draw the loss, the task's figures and the learning rate over the epochs."""
        if self.active:
            self._try('curves.png', lambda: draw_curves(self.rows, self.folder / 'curves.png', self.figures))

    def _write_log(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / 'log.jsonl', ''.join(json.dumps(each) + '\n' for each in self.rows))

    def _write_events(self):
        events, self._events = self._events, None       # after an error all points are written anew
        if events is None:
            events = EventWriter(self.folder / 'tensorboard', self.figures)
            events.write(self.rows[:-1])
        events.write(self.rows[-1:])
        self._events = events

    def _try(self, name, write):
        """Training goes on without a file that cannot be written; a package that is missing is told once."""
        if name in self._without:
            return
        try:
            write()
        except MissingPackage as error:
            self._without.add(name)
            print(f'note: no {name}: {error}', flush=True)
        except Exception as error:
            print(f'warning: {self.folder / name} was not written: {type(error).__name__}: {error}', flush=True)

    def summary(self, /, **facts):
        """Write the result of the run."""
        if self.active:
            facts['seconds'] = round(self.seconds(), 1)
            self._try('summary.json', lambda: replace_file(self.folder / 'summary.json',
                                                           json.dumps(facts, indent=1) + '\n'))


def _check_writable(folder):
    """Raise InputError now rather than after the first epoch."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f'{folder}: cannot be written to; use another --save-dir')
