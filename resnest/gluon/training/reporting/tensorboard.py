"""TensorBoard events of a run, one point for each epoch, written by tensorboardX."""
import contextlib
from pathlib import Path

from resnest.errors import MissingPackage
from resnest.runtime import import_extra

__all__ = ['EventWriter']

TAGS = {'loss': 'loss/train', 'lr': 'learning_rate', 'images_per_second': 'speed/images_per_second',
        'waiting': 'speed/waiting_for_data'}


class EventWriter:
    """Writes the events of rows of ``log.jsonl`` into ``folder``; the step of a point is its epoch.

    ``figures`` (:class:`.figures.Figures`) give the tags of the task's own. Event files that are there are removed:
    the rows of a resumed run hold all epochs before, so that none comes twice. Points are written at once, in the
    caller's thread: an error is the caller's and no queue can fill up. Raises MissingPackage where tensorboardX is not
    installed.
    """

    def __init__(self, folder, figures):
        self._tags = {**TAGS, **{figure.key: figure.tag for figure in figures.shown}}
        folder = Path(folder)
        try:
            self._events = import_extra('tensorboardX.proto.event_pb2')
            self._summary = import_extra('tensorboardX.summary')
            writer = import_extra('tensorboardX.event_file_writer').EventsWriter
        except MissingPackage:
            raise MissingPackage(f'tensorboardX is not installed: pip install tensorboardX tensorboard, then '
                                 f'tensorboard --logdir {folder.parent}') from None
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob('events.out.tfevents.*'):
            old.unlink()
        self._writer = writer(str(folder / 'events'))

    def write(self, rows):
        """Append the rows' points and flush them to the file; after an error nothing more can be written."""
        try:
            for row in rows:
                for key in self._tags.keys() & row.keys():
                    summary = self._summary.scalar(self._tags[key], row[key])
                    self._writer.write_event(self._events.Event(wall_time=row['time'], step=row['epoch'],
                                                                summary=summary))
            self._writer.flush()
        except OSError:
            with contextlib.suppress(OSError):
                self._writer.close()
            raise
