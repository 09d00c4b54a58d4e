"""scikit-learn's handwritten digits: 1,797 images of 8x8 pixels, shipped with the library."""

import numpy as np
from sklearn.datasets import load_digits

from greensweep.config.schema_dataset import DigitsConfig
from greensweep.data.arrays import tensor_split
from greensweep.data.splits import Source

# Pixels hold 0 to 16; spread over the range of a byte, resizing loses less to rounding.
_SCALE = 15


def digits(config: DigitsConfig) -> Source:
    """Read the digits; they have no test split of their own."""
    bunch = load_digits()
    images = (bunch.images * _SCALE).astype(np.uint8)
    return Source(
        train=tensor_split(images, bunch.target, config.image_size),
        classes=tuple(str(name) for name in bunch.target_names),
    )
