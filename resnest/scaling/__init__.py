"""What many ranks gain, reckoned: a model of a training step and its tables. Needs no mxnet."""
