"""Pose: SimplePose on any backbone of the zoo."""
from .making import get_model
from .network import PoseNet
from .table import POSE, PoseSpec

__all__ = ['POSE', 'PoseNet', 'PoseSpec', 'get_model']
