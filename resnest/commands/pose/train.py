"""Train a pose network, in one process or in several: horovodrun -np N resnest train-pose …"""


def main(arguments=None):
    from resnest.gluon.tasks.pose import PoseConfig, train
    from resnest.gluon.training import parse
    return train(*parse(PoseConfig, __doc__, arguments))
