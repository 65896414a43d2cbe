"""The data of pose: people with their joints, crops with their heat maps, batches."""
from .loading import CropLoader
from .people import PeopleSet, open_people
from .transforms import Plain, Training

__all__ = ['CropLoader', 'PeopleSet', 'Plain', 'Training', 'open_people']
