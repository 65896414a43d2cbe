"""What a task hands the trainer; the trainer gives it everything else."""
from .methods.optimizer import make_optimizer

__all__ = ['Task']


class Task:
    """A task to train for. Derive from it, and give it what raises NotImplementedError here.

    Every rank makes the same task. What the trainer (:func:`resnest.gluon.training.fit`) adds is the same for all of
    them: equal steps on every rank, schedules, moving averages, accumulation, clipping, freezing, mixed precision,
    checkpoints that go on bit for bit (on another number of ranks: from the same sample), signals, full disks,
    progress, logs and curves.

    Parameters
    ----------
    network : HybridBlock
        What is trained; its parameters have values.
    twin : HybridBlock
        Another of the same kind, which is evaluated and saved: mxnet reorders in place the weights of a network that
        it evaluates, and training would not be the same bit for bit afterwards.
    """

    #: :class:`.reporting.figures.Figures`: what is shown, drawn and written, and by which figure best.params is chosen.
    figures = None
    #: Names of the sums that :meth:`count` returns.
    sums = ()
    #: How the names of the parameters begin that ``--backbone-lr-factor`` leaves alone.
    head = ('fc.',)
    #: Whether all batches of a run's training have the same shapes, which are then planned for once.
    same_shapes = True

    def __init__(self, network, twin):
        self.network, self.twin = network, twin

    def __repr__(self):
        return f'{type(self).__name__}({self.network!r}, {self.figures!r})'

    @property
    def backbone(self):
        """The ResNet in the network, whose stages ``--freeze`` names."""
        return self.network

    def check(self, config):
        """A warning about a recipe, or None; raises InputError for a recipe that this task cannot be trained by."""

    def optimizer(self, config, rate):
        """mxnet's optimizer for a learning rate: the one that the recipe names."""
        return make_optimizer(config, rate)

    def decay(self, param):
        """The factor of a parameter's weight decay: 1 for weights of convolutions and dense layers, otherwise 0."""
        return 1.0 if param.name.endswith('weight') else 0.0

    def assemble(self, network):
        """The block that is called: ``network`` behind what comes before it on the device, such as normalization."""
        return network

    def batches(self, epoch, start):
        """This rank's loader of an epoch, from batch ``start`` on.

        A loader has a length and yields as many batches, each of which is handed to :meth:`prepare` as it is.
        ``loader.batches`` holds the sample indices of each of them, and ``loader.skipped`` lists the records that were
        left out of those that have been yielded. All ranks and epochs have as many batches; which samples make a batch
        depends on the seed and the epoch alone. It is asked for, and begun, while the epoch before is evaluated.
        """
        raise NotImplementedError

    def begin(self, net, epoch):
        """Set what changes from epoch to epoch in ``net``, the assembled network that is trained."""

    def prepare(self, indices, batch, epoch, device):
        """``(inputs, targets)`` of a batch, tuples of NDArrays on the device: for the network, and for the loss."""
        raise NotImplementedError

    def loss(self, outputs, targets):
        """The losses of a batch's samples, an NDArray, from what the assembled network returns for the inputs.

        What is minimized is the sum of all that it returns over a step, divided by the number of samples on all ranks:
        ``(N,)``, or ``(N, parts)`` for a loss of several parts, which :meth:`count` can then tell apart; a mean over a
        batch is to be multiplied by its number of samples. ``outputs`` are as the network returns them, an NDArray or
        tuples of them, with float32 in the place of float16.
        """
        raise NotImplementedError

    def watched(self, outputs):
        """The NDArrays among the outputs that must be finite, besides the loss: none unless a task says so."""
        return ()

    def count(self, outputs, targets, losses):
        """Sums over the samples of a batch: a dict of NDArrays of one value, by the names in :attr:`sums`.

        ``losses`` is what :meth:`loss` returned: the parts of a loss can be told apart here.
        """
        return {}

    def training_figures(self, sums, seen):
        """Figures of an epoch of training: a dict, from the sums over all ranks and the number of samples."""
        return {}

    def renew(self, net, epoch, check):
        """Compute anew what the twin's weights need to be evaluated, such as statistics; nothing unless a task does so.

        ``net`` is the assembled twin, and ``epoch`` counts those that are over. All ranks call it, before each
        evaluation. What takes long calls ``check()`` now and then, on all ranks at the same places, which leaves it
        where a stop was asked for.
        """

    def evaluate(self, net):
        """Evaluate this rank's share of the validation data with ``net``, the assembled twin.

        Returns a dict of numbers and arrays, which are added up over the ranks. ``seen`` counts samples, ``nonfinite``
        those whose outputs are not finite: the run ends where there are any. ``skipped``, where it is among them,
        counts those that were left out since they cannot be read. Nothing collective is called here, since a request to
        stop may end the evaluation of one rank earlier than that of another.
        """
        raise NotImplementedError

    def validation_figures(self, counts):
        """Figures of an evaluation: a dict with the best figure in it, from the sums over all ranks.

        All ranks call it, and so it may do together what is no sum, such as gathering detections on one of them.
        """
        raise NotImplementedError

    def describe(self):
        """What is needed to use the weights, a dict for JSON that is written to best.json; nothing is where it is None.

        The first rank is asked once, before anything is trained; its InputError ends the run on all ranks. The trainer
        adds the ``figures`` of the best epoch, the ``versions`` and the ``sha256`` of best.params.
        """
        return None
