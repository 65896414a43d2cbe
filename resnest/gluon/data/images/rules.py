"""Whether the images of a data set are turned by their EXIF orientation: the one thing that may differ in decoding.

- ``'upright'``: they are, as every viewer shows them. So are people's own pictures.
- ``'stored'``: they are not. So is ImageNet, on which networks were trained and published figures measured without.
"""
import hashlib

__all__ = ['DECODINGS', 'rule_of_classes']

DECODINGS = ('upright', 'stored')
# sha256 of the 1000 WNIDs of ILSVRC 2012 in sorted order, with a line break between them.
IMAGENET = '385e0240499426c022b773be1ae4da780f057b89c9694c7f47199f62746b6edd'


def rule_of_classes(names):
    """The rule for a folder of images with these classes: ``'stored'`` where they are ImageNet's 1000 WNIDs."""
    digest = hashlib.sha256('\n'.join(names).encode(errors='surrogateescape')).hexdigest()
    return 'stored' if digest == IMAGENET else 'upright'
