"""The formats against those that matplotlib says it writes; files that are whole or not there."""
import pytest

from resnest.errors import InputError
from resnest.gluon.figures import FIGURE_FORMATS, figure_file, require_figure


@pytest.mark.parametrize('ending', ['.png', '.PDF', '.svg', '.jpg', '.xyz', '.mp4', ''])
def test_what_matplotlib_cannot_write_is_refused(ending):
    canvas = pytest.importorskip('matplotlib.backends.backend_agg').FigureCanvasAgg
    writes = {f'.{name}' for name in canvas.get_supported_filetypes()}
    assert writes >= set(FIGURE_FORMATS)
    if ending.lower() in writes:
        require_figure(f'x{ending}', '--picture')
    else:
        with pytest.raises(InputError, match=rf'--picture x{ending}: the ending must be one of \.png'):
            require_figure(f'x{ending}', '--picture')


@pytest.mark.parametrize('ending, head', [('.png', b'\x89PNG'), ('.PDF', b'%PDF'), ('.svg', b'<?xml'),
                                          ('.jpg', b'\xff\xd8'), ('', b'\x89PNG')])
def test_a_figure_is_written_at_the_end_and_closed(tmp_path, ending, head):
    pyplot = pytest.importorskip('matplotlib.pyplot')
    path = tmp_path / f'x{ending}'
    with figure_file(path, 1, 2) as (_, (left, right)):
        left.plot([1, 2])
        assert not path.exists()
    assert path.read_bytes().startswith(head)
    with pytest.raises(KeyError), figure_file(tmp_path / 'y.png'):
        raise KeyError
    assert list(tmp_path.iterdir()) == [path]
    assert not pyplot.get_fignums()
