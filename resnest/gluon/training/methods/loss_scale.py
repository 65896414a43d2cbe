"""Loss scaling for float16 (Micikevicius et al., 2018, https://arxiv.org/abs/1710.03740, section 3.2)."""
__all__ = ['LossScale']


class LossScale:
    """The factor that keeps float16 gradients above zero: halved when they overflow, doubled after ``patience`` steps
    without."""

    def __init__(self, value=2.0 ** 15, patience=2000):
        self.value = value
        self.patience = patience
        self.good = 0

    def update(self, finite):
        """Take note of a step whose gradients were finite, or were not."""
        self.good = self.good + 1 if finite else 0
        if not finite:
            self.value = max(1.0, self.value / 2)
        elif self.good == self.patience:
            self.value, self.good = self.value * 2, 0
