"""What weights of pose networks are of: their descriptions (models/weights/description.py), made and read."""
from resnest.errors import InputError
from resnest.gluon.data.coco.keypoints import COCO_JOINTS, Joints
from resnest.gluon.models.weights.description import Description, changed_options
from resnest.gluon.models.weights.known import TaskTable
from resnest.reading import one_line

from .table import POSE

__all__ = ['DEFAULT_MODEL', 'LAST_BIAS', 'TABLE', 'described', 'joints_of', 'know', 'know_described']

TASK = 'pose'
LAST_BIAS = 'final_layer.bias'
DEFAULT_MODEL = 'simple_pose_resnest50'     # of a command that is not told otherwise
# The same weights take other crops too; sigma matters in training alone.
TABLE = TaskTable(TASK, POSE, ('height', 'width', 'sigma', 'mean', 'std'), counted='joints')
OWN = {'skeleton', 'sigmas'}


def described(net, joints=None, decoding=None):
    """The :class:`Description` of a :class:`.PoseNet`, and of its :class:`.Joints`; its classes are the joints."""
    options = {**TABLE.split(changed_options(net.backbone))[1], **changed_options(net.spec)}
    count = options.pop('joints', net.spec.joints)
    own = {} if joints is None else {'skeleton': [list(edge) for edge in joints.edges], 'sigmas': list(joints.sigmas)}
    return Description(net.spec.name, count, options, joints and list(joints.names), None, decoding, task=TASK, own=own)


def know(model=None, weights=None, options=None):
    """As :meth:`.TaskTable.know_asked`."""
    return TABLE.know_asked(DEFAULT_MODEL, LAST_BIAS, joints_of, model, weights, options)


def know_described(weights, description, model=None, options=None):
    """As :func:`know`, of the weights in a file whose description is known."""
    return TABLE.know(weights, description, joints_of, model, options)


def joints_of(spec, description=None):
    """The :class:`.Joints` that weights describe; COCO's where there are as many, else numbered ones.

    Raises InputError for a description of joints that cannot be.
    """
    if description and description.names:
        if unknown := sorted(description.own.keys() - OWN):
            raise InputError(f"'{one_line(unknown[0], 60)}' is in no description of a pose network")
        return Joints(description.names, description.own.get('skeleton') or (), description.own.get('sigmas'))
    if spec.joints == len(COCO_JOINTS.names):
        return COCO_JOINTS
    return Joints([str(number) for number in range(spec.joints)])
