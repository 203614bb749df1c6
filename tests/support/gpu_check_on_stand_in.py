"""Run tools/gpu_check.py on the stand-in for CuPy: small sizes, but the code of a real GPU.

python tests/support/gpu_check_on_stand_in.py --job steps:ours --seconds 60
"""

import dataclasses
import functools
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tools"), str(ROOT / "tests" / "support")]

import fake_cupy  # noqa: E402

fake_cupy.install(1)

import gpu_check  # noqa: E402
from benchmarks.nets import unet  # noqa: E402
from gpu import jobs, layers, steps, training  # noqa: E402

jobs.SCRIPT = Path(__file__)
layers.LAYERS = tuple(
    layers.Layer(*sizes) for sizes in ((2, 16, 16, 8, 3), (2, 3, 8, 16, 7, 2), (1, 16, 32, 8, 1))
)
layers.ROUNDS, layers.LAUNCHES, layers.COPIED = 2, 2, 1000
steps.WARMUP, steps.MOST, steps.SECONDS = 5, 3, 1
IMAGES = {
    "LeNet-5": (4, 1, 28, 28), "ResNet-18": (2, 3, 8, 8), "ResNet-50": (1, 3, 32, 32),
    "U-Net": (1, 3, 16, 16),
}  # fmt: skip
replace = getattr(steps.NETS[0], "_replace", None)
steps.NETS = tuple(
    (functools.partial(dataclasses.replace, net) if replace is None else net._replace)(
        images=IMAGES[net.name],
        build=functools.partial(unet, base=4) if net.name == "U-Net" else net.build,
    )
    for net in steps.NETS
)
training.BEYOND = 1 << 20

if __name__ == "__main__":
    sys.exit(gpu_check.main())
