"""What is needed to use weights, in a small file beside them: ``best.json`` describes ``best.params``.

Its ``sha256`` tells which weights are meant: a file beside others is refused. Weights that are copied without it, and
those that others publish, are bare: whoever uses them says what they are of. What is no description, such as a file
of the user's that happens to bear the name, is passed over.
"""
import dataclasses
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from mxnet.gluon import nn

from resnest.errors import InputError
from resnest.files import WEIGHTS_FORMAT, replace_file
from resnest.reading import CONTROL, file_digest, one_line, open_plain, parse_json, read_text

from ..variants import VariantSpec, find_variant, override

__all__ = ['CLASSIFICATION', 'METADATA', 'Description', 'changed_options', 'describe', 'from_mapping', 'from_text',
           'is_held_out', 'read_description', 'require_free', 'to_mapping', 'to_text', 'write_description']

FORMAT = f'{WEIGHTS_FORMAT}1'
LARGEST = 16 << 20              # bytes; 21,841 classes with names and words come to 1.5 MB
MOST_CLASSES = 10 ** 6
LONGEST = 1000                  # characters of a name
MOST_SAMPLED = 1000
DECODINGS = ('upright', 'stored')
CLASSIFICATION = 'classification'
METADATA = 'resnest'            # what the description is called among the texts of a safetensors or ONNX file


@dataclass(frozen=True)
class Description:
    """What weights are of, and how they want their images; raises InputError, in one line, for what cannot be.

    Attributes
    ----------
    model : str
        A row of the table of variants, or of the task's own table.
    classes : int
    options : dict
        The fields in which the network, and what its images pass through, differ from the row.
    names : list of str or None
        The classes in the order of the labels, as folders and manifests call them.
    words : list of str or None
        Readable names in the same order, where the names are none.
    decoding : {'upright', 'stored'} or None
        How the pictures were decoded that the weights were trained on.
    held_out : dict or None
        ``val_fraction`` and ``seed``: which part of a folder without a validation split was not trained on; and
        ``sample``, by which that folder is known again (:meth:`resnest.gluon.data.FolderSet.sample`).
    figures, versions : dict
        What was reached, and with what.
    task : str
        What the network was trained for.
    own : dict
        What only this task knows of; any values of JSON.
    sha256 : str or None
        Of the file of weights; None inside a file.
    """
    model: str
    classes: int
    options: dict = field(default_factory=dict)
    names: Optional[list] = None
    words: Optional[list] = None
    decoding: Optional[str] = None
    held_out: Optional[dict] = None
    figures: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    task: str = CLASSIFICATION
    own: dict = field(default_factory=dict)
    sha256: Optional[str] = None

    def __post_init__(self):
        if type(self.classes) is not int or not 1 <= self.classes <= MOST_CLASSES:
            raise InputError(f'classes must be a whole number up to {MOST_CLASSES}, got {one_line(self.classes, 60)}')
        for name in ('options', 'figures', 'versions', 'own'):
            if not isinstance(getattr(self, name), dict):
                raise InputError(f'{name} must be a mapping, got {one_line(getattr(self, name), 60)}')
        for name in ('names', 'words'):
            _check_names(name, getattr(self, name), self.classes)
        if self.names and len(set(self.names)) < self.classes:
            raise InputError('names: a class stands there twice')
        if self.decoding not in (None, *DECODINGS):
            raise InputError(f'decoding must be {" or ".join(DECODINGS)}, got {one_line(self.decoding, 60)}')
        if self.held_out is not None and not is_held_out(self.held_out):
            raise InputError(f'held_out must be val_fraction and seed, got {one_line(self.held_out, 60)}')
        if not _is_name(self.task):
            raise InputError(f'task must be a name, got {one_line(self.task, 60)}')
        if self.sha256 is not None and not (isinstance(self.sha256, str) and re.fullmatch('[0-9a-f]{64}', self.sha256)):
            raise InputError(f'sha256 must be 64 hexadecimal digits, got {one_line(self.sha256, 60)}')
        if self.task == CLASSIFICATION:
            override(find_variant(self.model), self.options)
        elif not _is_name(self.model):      # of another table, which the task knows
            raise InputError(f'model must be a name, got {one_line(self.model, 60)}')

    @property
    def spec(self) -> VariantSpec:
        """The row of a classifier with the options."""
        return override(find_variant(self.model), self.options)


def changed_options(spec):
    """The fields in which ``spec`` differs from the row of its name, as JSON has them; None where there is no row."""
    row = spec.table.get(spec.name)
    if row is None:
        return None
    changed = (name for name in spec.options() if getattr(spec, name) != getattr(row, name))
    return json.loads(json.dumps({name: getattr(spec, name) for name in changed}))


def describe(net, **values):
    """The description of a network in memory, also of one behind a normalization; None where no row says what it is.

    It is that of the weights that were loaded, with what ``net.spec``, and fields of it given as ``values``, differ in;
    a network of another task tells it itself, by ``net.as_described()``.
    """
    if isinstance(net, nn.HybridSequential):
        net = next((each for each in net if hasattr(each, 'spec')), None)
    if hasattr(net, 'as_described'):
        return net.as_described()
    spec, classifier, described = (getattr(net, name, None) for name in ('spec', 'fc', 'description'))
    if not spec or not classifier or (options := changed_options(override(spec, values))) is None:
        return None
    classes = classifier.weight.shape[0]
    if described is None or described.classes != classes:
        described = Description(spec.name, classes)
    return dataclasses.replace(described, options=options, sha256=None)


def to_mapping(description):
    """The values of JSON that :func:`from_mapping` takes; what is not known is left out."""
    known = {name: value for name, value in dataclasses.asdict(description).items() if value not in (None, {})}
    order = ('task', 'model', 'options', 'classes', 'names', 'words')
    return {'format': FORMAT, **{name: known[name] for name in order if name in known},
            **{name: value for name, value in known.items() if name not in order}}


def to_text(description, **layout):
    """The JSON that :func:`from_text` reads."""
    return json.dumps(to_mapping(description), ensure_ascii=False, **layout)


def from_mapping(value, where):
    """The :class:`Description` of a mapping from JSON.

    None for what is no description. Raises InputError that names ``where`` for one of another version, and for one
    whose values cannot be.
    """
    if not isinstance(value, dict) or not str(value.get('format')).startswith(WEIGHTS_FORMAT):
        return None
    given = {name: each for name, each in value.items() if name != 'format'}
    known = {each.name for each in dataclasses.fields(Description)}
    try:
        if value['format'] != FORMAT:
            raise InputError(f"its format is {one_line(value['format'], 60)}, and this version reads {FORMAT}; install "
                             'a later one')
        if unknown := sorted(given.keys() - known):
            raise InputError(f"'{one_line(unknown[0], 60)}' is in no description")
        if missing := sorted({'model', 'classes'} - given.keys()):
            raise InputError(f"it lacks '{missing[0]}'")
        return Description(**given)
    except InputError as error:
        raise InputError(f'{one_line(where)}: does not describe weights: {error}') from None


def from_text(text, where):
    """As :func:`from_mapping`, of a text of JSON."""
    if len(text) > LARGEST:
        raise InputError(f'{one_line(where)}: a description of {len(text)} characters; it has at most {LARGEST}')
    return from_mapping(parse_json(text, where), where)


def read_description(path):
    """The description of a ``.params`` file, from the file beside it; None where they are bare.

    Raises InputError, in one line that says what to do, for a description that is damaged, and for one that belongs to
    other weights: a run was killed between writing the two, or one of them was copied alone.
    """
    path = Path(os.path.expanduser(path))
    beside = path.with_suffix('.json')
    if path == beside or not os.path.lexists(beside) or not os.path.lexists(path):
        return None
    remedy = (f'copy {path.name} and {beside.name} together again, or remove {beside.name} and say by options what the '
              'weights are of')
    try:
        found = from_text(read_text(beside, LARGEST), beside)
    except InputError as error:
        if not _is_damaged(beside):
            return None
        raise InputError(f'{error}; {one_line(remedy)}') from None
    if found and found.sha256 != file_digest(path):
        raise InputError(f'{one_line(beside)}: describes other weights than those of {one_line(path.name)} (another '
                         f'sha256); {one_line(remedy)}; a run that was stopped meanwhile mends it by --resume auto')
    return found


def _is_damaged(path):
    """Whether what is not read as a description was one: it has the name of the format, or was cut before it."""
    with open_plain(path) as opened:
        data = opened.read(LARGEST)
    return WEIGHTS_FORMAT.encode() in data or f'{{\n "format": "{FORMAT}'.encode().startswith(data)


def write_description(path, description):
    """Describe the file of weights ``path``, which is there, in the file beside it; replaces what describes another."""
    described = dataclasses.replace(description, sha256=file_digest(path))
    replace_file(Path(path).with_suffix('.json'), to_text(described, indent=1) + '\n')


def require_free(path):
    """Raise InputError where what lies in the description's place beside ``path`` is somebody's own."""
    beside = Path(path).with_suffix('.json')
    if os.path.lexists(beside):
        try:
            known = from_text(read_text(beside, LARGEST), beside)
        except InputError:
            known = None
        if known is None:
            raise InputError(f'{one_line(beside)}: would be replaced by the description of {one_line(path)}, and it is '
                             'none; move it away, or give the weights another name')


def _check_names(what, names, count):
    if names is None:
        return
    if not isinstance(names, list) or not all(_is_name(name, what == 'words') for name in names):
        raise InputError(f'{what} must be a list of texts without control characters')
    if len(names) != count:
        raise InputError(f'{what}: {len(names)} for {count} classes')


def _is_name(value, empty=False):
    return isinstance(value, str) and (empty or value) and len(value) <= LONGEST and not CONTROL.search(value)


def is_held_out(value):
    """Whether a value tells which part of a folder was held out."""
    return isinstance(value, dict) and value.keys() - {'sample'} == {'val_fraction', 'seed'} and \
        type(value['val_fraction']) in (int, float) and 0 < value['val_fraction'] < 1 and \
        type(value['seed']) is int and value['seed'] >= 0 and is_sample(value.get('sample', []))


def is_sample(value):
    """Whether a value can tell which images there were."""
    return isinstance(value, list) and len(value) <= MOST_SAMPLED and all(map(_is_name, value))
