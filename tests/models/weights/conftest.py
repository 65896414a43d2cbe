"""Published weights, a server that has them, and the folder that they are fetched into."""
import hashlib
import io
import zipfile

import numpy as np
import pytest

from resnest.errors import InputError
from resnest.gluon.models import VariantSpec
from resnest.gluon.models.weights import store

from . import server as act

WEIGHTS = np.random.default_rng(0).bytes(600_000)       # the store does not look into the file
SPEC = VariantSpec('resnest50', (3, 4, 6, 3), sha1=hashlib.sha1(WEIGHTS).hexdigest())
NAME = f'{SPEC.file}.params'


def archive(*members):
    """A zip of (name, data) pairs, stored without compression as random weights are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as opened:
        for name, data in members:
            opened.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def server(monkeypatch):
    running = act.Server(archive((NAME, WEIGHTS)))
    monkeypatch.setattr(store, 'URL', running.url + '/{file}.zip')
    monkeypatch.setenv('NO_PROXY', '127.0.0.1')
    for name in ('RESNEST_HOME', 'RESNEST_MIRROR', 'MXNET_HOME'):
        monkeypatch.delenv(name, raising=False)
    yield running
    running.close()


@pytest.fixture
def home(tmp_path):
    """The folder; what lies beside it must stay as it is."""
    (tmp_path / 'beside').write_text('')
    folder = tmp_path / 'home'
    yield folder
    assert {path.name for path in tmp_path.iterdir()} <= {'beside', 'home', 'mirror'}
    for path in folder.glob('*.params'):
        assert path.read_bytes() == WEIGHTS     # nothing half-written ever has the name


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def refused(home, *wanted):
    """model_file raises one line with all of this in it; returns it."""
    with pytest.raises(InputError) as caught:
        store.model_file(SPEC, home)
    message = str(caught.value)
    assert '\n' not in message
    for text in (NAME, str(home), *wanted):
        assert text in message
    return message
