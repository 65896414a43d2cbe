"""What a precision asks of the CPU."""
from resnest.errors import InputError
from resnest.gluon.device import cpu_flags
from resnest.reading import not_among

__all__ = ['require_cpu']

# oneDNN's kernels for bfloat16 begin at AVX-512 (https://oneapi-src.github.io/oneDNN/dev_guide_data_types.html); those
# for int8 need AVX2 at least.
NEEDED = {'float32': (), 'bfloat16': ('avx512bw', 'avx512dq', 'avx512vl'), 'int8': ('avx2',)}


def require_cpu(precision):
    """Raise InputError where ``precision`` is unknown or this CPU cannot compute it."""
    if precision not in NEEDED:
        raise InputError(f'precision {not_among(precision, NEEDED)}')
    missing = [flag for flag in NEEDED[precision] if flag not in cpu_flags()]
    if missing:
        raise InputError(f"this CPU cannot compute {precision}: it lacks {', '.join(missing)}; use float32")
