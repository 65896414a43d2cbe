"""Verifying: the exact AP of boxes and masks, and the panoptic quality, of a data set."""
import sys

from resnest.errors import InputError
from resnest.gluon import distributed
from resnest.gluon.data import find_pictures
from resnest.gluon.data.coco.layout import find_split
from resnest.gluon.device import choose_device
from resnest.runtime import import_extra

from .data import open_coco
from .data.categories import categories_of
from .describing import know
from .evaluation import evaluate
from .finding import network_inputs
from .making import get_model
from .optimizing import make_engine

__all__ = ['result_line', 'table', 'verify']

SHOWN = 30      # classes that a table of text has at most
MEASURED = {'box': 'box AP', 'mask': 'mask AP', 'panoptic': 'PQ'}


def verify(data_dir=None, annotations=None, images=None, model=None, weights=None, model_options=None,
           precision='float32', short_sides=None, flip=False, batch_size=1, calibration_images=8, limit=None, workers=2,
           no_cuda=False, say=None, progress=False):
    """COCO's figures of the validation pictures, in per cent; under ``horovodrun`` this is one rank.

    Parameters
    ----------
    data_dir, annotations, images
        As :func:`.data.open_coco` has them.
    model : str
        What the weights tell, else faster_rcnn_fpn_resnest50, unless given.
    weights : path
        A file of weights; the published ones unless given.
    model_options : dict
        Fields in which the network of bare weights differs from the model's row.
    precision : {'float32', 'bfloat16', 'int8'}
        Others than float32 learn from, and are compared on, ``calibration_images`` of the training pictures, or where
        there are none of the same pictures.
    short_sides, flip
        As :func:`.evaluation.evaluate` has them.
    batch_size, workers : int
        Pictures at a time, and threads that decode them.
    limit : int
        So many pictures only, evenly taken from all.
    no_cuda : bool
        Use the CPU even where there is a GPU.
    say : callable
        Called with what is worth telling, on the first rank.
    progress : bool
        Whether to show a bar on a terminal.

    Masks are measured where the detector has a mask head, panoptic quality where it has a semantic one and there are
    panoptic annotations. Returns a dict on the first rank, with the figures of each class and the settings, and None on
    others. Raises InputError for data and weights that are not there, damaged, or do not fit, and for outputs that are
    not finite.
    """
    with distributed.joined() as job:
        import_extra('pycocotools')
        known = know(model, weights, model_options)
        say = say if say and job.rank == 0 else lambda line: None
        records = open_coco('val', data_dir, annotations, images, masks=bool(known.spec.mask_convolutions),
                            kinds=bool(known.spec.kinds) and 'where there are')
        job.agree('number of pictures', len(records))
        device = choose_device(no_cuda, job)
        net = get_model(known.model, known.pretrained, ctx=device, **known.options)
        _require_same_classes(known, categories_of(net), records)
        net = make_engine(net, precision, device, lambda: _calibration(net, data_dir, records, calibration_images), say)
        found = _with_bar(net, records, job, progress, limit=limit, short_sides=short_sides, flip=flip,
                          batch_size=batch_size, workers=workers)
        found = _result(found, records, model=known.model, precision=precision, flip=flip,
                        short_sides=list(short_sides or [net.spec.short_side]))
        say(table(found['classes']))
        say(result_line(found))
        job.finish()
        return None if job.rank else found


def _require_same_classes(known, categories, records):
    """Raise InputError where a detector's classes are not those of the data, told by their names, or their number
    where bare weights know nothing else."""
    what, named, theirs = known.what, known.description and known.description.names, records.categories
    for kind, ours, others in (('classes', categories.names, theirs.names),
                               *([('kinds of stuff', categories.stuff, theirs.stuff)] if records.panoptic else [])):
        if len(ours) != len(others):
            raise InputError(f'{what} know {len(ours)} {kind}, {records.annotations.path} has {len(others)}; give '
                             'other weights, or data with the same categories')
    for one, other in zip(categories.names, records.names):
        if one != other and (named or not one.isdigit()):
            raise InputError(f"{what} know other classes than the data: '{one}' where {records.annotations.path} has "
                             f"'{other}'; give data with the same categories, by rising id")


def _calibration(net, data_dir, records, count):
    """Network inputs, as many as ``count``, of training pictures where there are any."""
    try:
        pictures = find_pictures([find_split(data_dir, 'train')[1]] if data_dir else [])
    except InputError:      # a data set of validation pictures alone
        pictures = []
    pictures = pictures or [records.folder / records.name(index) for index in range(len(records))]
    count = min(count, len(pictures))
    return network_inputs(net, [pictures[place * len(pictures) // count] for place in range(count)], count)


def _with_bar(net, records, job, progress, limit, **options):
    from tqdm import tqdm
    mine = len(range(job.rank, min(limit or len(records), len(records)), job.size))
    with tqdm(total=mine, unit='picture', disable=not progress or job.rank or not sys.stderr.isatty()) as bar:
        return evaluate(net, records, job, limit=limit, progress=bar.update, **options)


def _result(found, records, **settings):
    figures = {name: found[name] and {key: value for key, value in found[name].items() if key != 'classes'}
               for name in MEASURED}
    maps = records.panoptic
    rows = [{'class': label, 'id': number, 'name': name} for label, (number, name) in
            enumerate(zip(records.category_ids, records.names))]
    by_id = {row['id']: row for row in rows}
    for name in ('box', 'mask'):
        for row, value in zip(rows, found[name]['classes'] if found[name] else ()):
            row[f'{name}_ap'] = value
    if found['panoptic']:
        for (number, name, _), value in zip(maps.categories, found['panoptic']['classes']):
            if number not in by_id:
                rows.append({'class': None, 'id': number, 'name': name})
                by_id[number] = rows[-1]
            by_id[number]['pq'] = value
    return {**figures, 'seen': found['seen'], **settings, 'classes': rows}


def table(rows):
    """The figures of each class as lines of text; of many classes, those with the lowest AP of boxes."""
    columns = [name for name in ('box_ap', 'mask_ap', 'pq') if any(row.get(name) is not None for row in rows)]
    shown = rows
    if len(rows) > SHOWN:
        shown = sorted((row for row in rows if row.get('box_ap') is not None), key=lambda row: row['box_ap'])[:SHOWN]
    width = max(len(row['name']) for row in shown)
    lines = [f"  {row['name']:{width}}" + ''.join(
        f'  {"-":>7}' if row.get(name) is None else f'  {row[name]:7.2f}' for name in columns) for row in shown]
    head = f'  {"":{width}}' + ''.join(f"  {name.replace('_', ' '):>7}" for name in columns)
    return '\n'.join([f'{"each class" if shown is rows else f"the {len(shown)} lowest classes"}, in %:', head, *lines])


def result_line(found):
    """One line of text."""
    figures = []
    for name, what in MEASURED.items():
        value = found[name] and found[name]['pq' if name == 'panoptic' else 'ap']
        if value is not None:
            figures.append(f'{what} {value:.2f} %')
    sides = ' '.join(map(str, found['short_sides']))
    return (f"{found['model']}: {'  '.join(figures)}  of {found['seen']} pictures (short side {sides}"
            f"{', mirrored too' if found['flip'] else ''}, {found['precision']})")
