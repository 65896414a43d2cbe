"""What weights of pose networks are of: their descriptions (models/weights/description.py), made and read."""
from resnest.errors import InputError
from resnest.gluon.data.coco.keypoints import COCO_JOINTS, Joints
from resnest.gluon.models.weights.description import Description, changed_options, read_description
from resnest.gluon.models.weights.known import Known, TaskTable
from resnest.gluon.models.weights.parameters import read_parameters
from resnest.gluon.models.weights.params_file import read_shapes
from resnest.reading import one_line

from .table import POSE

__all__ = ['DEFAULT_MODEL', 'TABLE', 'described', 'joints_of', 'know', 'know_described']

TASK = 'pose'
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
    """The :class:`Known` of what is asked for: the described weights in a file, bare ones, or the published ones.

    Raises InputError for an unknown model, for weights that are of another task, and for a description that cannot be.
    """
    description = read_description(weights) if weights else None
    if description:
        return know_described(weights, description, model, options)
    model, values = model or DEFAULT_MODEL, dict(options or {})
    if weights and 'joints' not in values:
        values['joints'] = _count_joints(weights)
    what = f'the weights in {one_line(weights)}' if weights else 'the published weights'
    return Known(what, model, values, TABLE.spec_of(model, values), weights or True)


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


def _count_joints(path):
    bias = read_parameters(path, read_shapes).get('final_layer.bias')
    if bias is None or len(bias) != 1:
        raise InputError(f'{one_line(path)}: holds no pose network (final_layer.bias); give other weights')
    return bias[0]
