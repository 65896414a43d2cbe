"""Whether the images of a data set are turned by their EXIF orientation: the one thing that may differ in decoding.

- ``'upright'``: they are, as every viewer shows them. So are people's own pictures.
- ``'stored'``: they are not. So is ImageNet, on which networks were trained and published figures measured without.
"""
import re

__all__ = ['DECODINGS', 'rule_of_classes']

DECODINGS = ('upright', 'stored')
WNID = re.compile('n[0-9]{8}')      # WordNet's number of a noun, the name of a class of ImageNet


def rule_of_classes(names):
    """The rule for a folder of images with these classes: ``'stored'`` where all are ImageNet's, a subset of it too."""
    return 'stored' if names and all(map(WNID.fullmatch, names)) else 'upright'
