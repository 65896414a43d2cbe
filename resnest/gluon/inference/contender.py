"""One contender of the benchmark, alone in its process: builds a network, times it, prints one line of JSON.

Run by path (``python -I contender.py SETTINGS``), so that gluoncv's contender never imports resnest.gluon
and really has mxnet's default number of threads.
"""
import json
import resource
import sys
import time

__all__ = []


def make(implementation, model, training):
    """The network, hybridized, and mxnet."""
    dropping = {'dropblock_prob': 0.1} if training else {}
    if implementation == 'gluoncv':
        import mxnet as mx
        from gluoncv.model_zoo import get_model
        net = get_model(model)      # without DropBlock: gluoncv's costs it half of its speed
    else:
        from resnest.gluon.models import get_model
        net = get_model(model, **dropping)
        import mxnet as mx
        if implementation == 'ours, native':
            from resnest.gluon.nn import use_native
            if not use_native(net):
                raise RuntimeError('the native operators are not there')
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize(static_alloc=True, static_shape=True)
    return net, mx


def stepper(net, mx, x, training):
    """A function that computes one batch: the logits, or a whole training step."""
    if not training:
        return lambda: net(x).wait_to_read()
    labels = mx.nd.zeros(x.shape[0])
    loss_of = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    loss_of.hybridize()
    trainer = mx.gluon.Trainer(net.collect_params(), 'nag', {'learning_rate': 1e-3, 'momentum': 0.9, 'wd': 1e-4})

    def step():
        with mx.autograd.record():
            loss = loss_of(net(x), labels)
        loss.backward()
        trainer.step(x.shape[0])
        mx.nd.waitall()

    return step


def main(settings):
    net, mx = make(settings['implementation'], settings['model'], settings['training'])
    size = settings['image_size']
    x = mx.nd.random.uniform(shape=(settings['batch_size'], 3, size, size))
    step = stepper(net, mx, x, settings['training'])
    for _ in range(settings['warmup']):
        step()
    seconds = []
    for _ in range(settings['steps']):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({'seconds': seconds, 'peak_memory_mb': round(peak)}))


if __name__ == '__main__':
    main(json.loads(sys.argv[1]))
