"""The formats against those that matplotlib says it writes."""
import pytest

from resnest.errors import InputError
from resnest.gluon.figures import FIGURE_FORMATS, require_figure


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
