"""Pose: SimplePose on any backbone of the zoo."""
from .config import PoseConfig
from .making import get_model
from .network import PoseNet
from .picturing import pose_pictures
from .table import POSE, PoseSpec
from .training import train
from .verification import verify

__all__ = ['POSE', 'PoseConfig', 'PoseNet', 'PoseSpec', 'get_model', 'pose_pictures', 'train', 'verify']
