"""Small archives in the official layout."""
import shutil

import pytest

from . import ilsvrc


@pytest.fixture(scope='session')
def official(tmp_path_factory):
    folder = tmp_path_factory.mktemp('official')
    return folder, ilsvrc.make(folder)


@pytest.fixture
def copied(official, tmp_path):
    """A copy of the official files that a test may damage."""
    return shutil.copytree(official[0], tmp_path / 'copied')
