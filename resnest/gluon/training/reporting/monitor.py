"""What a run shows and writes: progress bar, ``log.jsonl``, TensorBoard events, ``curves.png``, ``summary.json``."""
import json
import shutil
import sys
import time
from pathlib import Path

from tqdm import tqdm

from resnest.errors import MissingPackage
from resnest.files import replace_file

from .curves import draw_curves
from .tensorboard import EventWriter

__all__ = ['Monitor']

BAR = '{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{postfix}'


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

    def seconds(self):
        """Of the whole run, in seconds."""
        return self._before + time.perf_counter() - self._started

    def begin(self, epoch, epochs, steps, done=0):
        """A new epoch's progress, from its step ``done`` on: a bar on a terminal, nothing elsewhere."""
        if self.active:
            self._bar = tqdm(total=steps, initial=done, desc=f'epoch {epoch + 1}/{epochs}', leave=False, bar_format=BAR,
                             dynamic_ncols=True, disable=not sys.stderr.isatty())
            self._left = (epochs - epoch) * steps - done
            self._last = time.perf_counter()

    def advance(self, steps, images=0, waited=0.0, **figures):
        """Move on by ``steps`` and show the time left and the figures, as far as the terminal is wide.

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
        shown = [f'left {tqdm.format_interval(self._time_left())}']
        shown += [f'{name} {figure}' for name, figure in figures.items()]
        if images:
            shown[2:2] = [f'{images / seconds:.0f} images/s', f'waiting {min(1, waited / seconds):.0%}']
        self._bar.set_postfix_str('  '.join(shown), refresh=False)
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
        self.close()
        row.setdefault('time', round(time.time(), 3))
        self.rows.append(row)
        parts = [f"epoch {row['epoch']:3d}", f"loss {row['loss']:.4f}",
                 *(each.format(each.line, row[each.key]) for each in self.figures.shown
                   if each.line and each.key in row),
                 f"lr {row['lr']:.4g}", f"{row['images_per_second']:.0f} images/s", f"waiting {row['waiting']:.0%}"]
        if 'skipped' in row:
            parts.append(f"{row['skipped']} bad records skipped")
        parts += left_out(row)
        if self._left > 0 and self._trained:
            parts.append(f'left {tqdm.format_interval(self._time_left())}')
        print(_wrapped(parts, shutil.get_terminal_size().columns if sys.stdout.isatty() else None), flush=True)
        self._try('log.jsonl', self._write_log)
        self._try('tensorboard/', self._write_events)

    def close(self):
        """Take the progress bar, if there is one, off the terminal."""
        if self._bar:
            self._bar.close()

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

    def summary(self, best, epoch, epochs, /, **facts):
        """Write the result of the run, and say in a line what it came to after ``epoch`` of its ``epochs``.

        ``best`` are the figures of the best weights with their epoch, None where no evaluation had any.
        """
        if not self.active:
            return
        facts = {**(best or {}), **facts, 'epochs': epoch, 'seconds': round(self.seconds(), 1)}
        self._try('summary.json', lambda: replace_file(self.folder / 'summary.json',
                                                       json.dumps(facts, indent=1) + '\n'))
        figure, took = self.figures.of(self.figures.best), tqdm.format_interval(self.seconds())
        took = f"{epoch} epoch{'s' if epoch != 1 else ''} in {took}"
        if epoch < epochs:
            print(f'stopped early after epoch {epoch} of {epochs}: --patience')
        if best is None:
            print(f'{took}; no evaluation found a {figure.key}, and there is no best.params', flush=True)
        else:
            told = ''.join(f' ({each})' for each in left_out(best))
            print(f"{took}; best: {figure.format(figure.key, best[figure.key])}{told} after epoch "
                  f"{best['epoch']}, {self.folder / 'best.params'}", flush=True)


def left_out(row):
    """What is to be said of validation samples that cannot be read: a list of one part, or of none."""
    return [f"{row['val_skipped']} bad left out of validation"] if 'val_skipped' in row else []


def _wrapped(parts, columns):
    """The parts on a line, or on several of ``columns`` characters, all but the first indented below it."""
    lines = parts[:1]
    for part in parts[1:]:
        if columns and len(lines[-1]) + 2 + len(part) > columns:
            lines.append(' ' * len(parts[0]))
        lines[-1] += f'  {part}'
    return '\n'.join(lines)
