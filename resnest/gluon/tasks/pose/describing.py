"""What weights of pose networks are of: their descriptions (models/weights/description.py), made and read."""
from resnest.errors import InputError
from resnest.gluon.data.coco.keypoints import COCO_JOINTS, Joints
from resnest.gluon.models import find_variant, override
from resnest.gluon.models.variants import no_such_model
from resnest.gluon.models.weights.description import Description, changed_options
from resnest.reading import one_line

from .table import POSE, PoseSpec

__all__ = ['DEFAULT_MODEL', 'TASK', 'described', 'joints_of', 'require_task', 'spec_of', 'split_options']

TASK = 'pose'
DEFAULT_MODEL = 'simple_pose_resnest50'     # of a command that is not told otherwise
OWN = {'skeleton', 'sigmas'}


def split_options(values):
    """``(fields of the row, fields of the backbone's row)`` of a dict of options; of one name the row's come first."""
    own = PoseSpec.options()
    return ({name: value for name, value in values.items() if name in own},
            {name: value for name, value in values.items() if name not in own})


def spec_of(model, values):
    """The row of a model with the fields among ``values``; raises InputError for what no network has."""
    if not isinstance(model, str) or model not in POSE:
        raise no_such_model(model, POSE, TASK)
    own, backbone = split_options(values)
    spec = override(POSE[model], own)
    override(find_variant(spec.base), backbone)
    return spec


def described(net, joints=None, decoding=None):
    """The :class:`Description` of a :class:`.PoseNet`, and of its :class:`.Joints`; its classes are the joints."""
    options = {**split_options(changed_options(net.backbone))[1], **changed_options(net.spec)}
    count = options.pop('joints', net.spec.joints)
    own = {} if joints is None else {'skeleton': [list(edge) for edge in joints.edges], 'sigmas': list(joints.sigmas)}
    return Description(net.spec.name, count, options, joints and list(joints.names), None, decoding, task=TASK, own=own)


def joints_of(spec, description=None, what='the weights'):
    """The :class:`.Joints` that weights describe; COCO's where there are as many, else numbered ones.

    Raises InputError, which begins with ``what``, for a description of joints that cannot be.
    """
    if description and description.names:
        if unknown := sorted(description.own.keys() - OWN):
            raise InputError(f"{what}: '{one_line(unknown[0], 60)}' is in no description of a pose network")
        try:
            return Joints(description.names, description.own.get('skeleton') or (), description.own.get('sigmas'))
        except InputError as error:
            raise InputError(f'{what}: {error}') from None
    if spec.joints == len(COCO_JOINTS.names):
        return COCO_JOINTS
    return Joints([str(number) for number in range(spec.joints)])


def require_task(path, description):
    """Raise InputError for described weights of another task."""
    if description.task != TASK:
        raise InputError(f'the weights in {one_line(path)} are of {one_line(description.task, 60)}, not of {TASK}; '
                         f'give other weights')
