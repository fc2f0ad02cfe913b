"""How far the optical link reads: `.venv/bin/python tests/benchmarks/optical_link.py [--trials 5] [--cells 48]`.

Along each axis of distortion, one value after the other, `trials` pictures of random bytes (seeded), each filled
to capacity; prints how many were read back exactly. wnsp/RENDERING.md quotes the result.
"""

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

sys.path.insert(0, str(Path(__file__).parents[1]))

from builders.pictures import Distortion, distorted

from wnsp.optical.decoder import decode_picture
from wnsp.optical.encoder import encode_picture, picture_capacity
from wnsp.optical.errors import OpticalError

Axis = tuple[str, tuple[float, ...], Callable[[float], Distortion]]

AXES: tuple[Axis, ...] = (
    ("JPEG quality", (75, 50, 30, 20, 15, 10, 7, 5), lambda v: Distortion(quality=int(v))),
    (
        "scale, then JPEG 75",
        (3, 2, 1.5, 0.75, 0.5, 0.4, 0.33, 0.25, 0.2),
        lambda v: Distortion(scale=v, quality=75),
    ),
    (
        "scale, then JPEG 30",
        (3, 2, 0.75, 0.67, 0.5, 0.4, 0.33),
        lambda v: Distortion(scale=v, quality=30),
    ),
    (
        "rotation in degrees",
        (1, 3, 5, 10, 20, 30, 45, 90, 180),
        lambda v: Distortion(rotation_degrees=v, quality=75),
    ),
    ("keystone", (0.1, 0.2, 0.3, 0.4, 0.5), lambda v: Distortion(keystone=v, quality=75)),
    (
        "brightness",
        (-0.6, -0.5, -0.4, -0.3, 0.3, 0.4, 0.5, 0.6),
        lambda v: Distortion(brightness=v, quality=75),
    ),
    ("contrast", (0.15, 0.2, 0.3, 0.5, 1.5, 2, 3), lambda v: Distortion(contrast=v, quality=75)),
    ("shade left to right", (0.2, 0.4, 0.6, 0.7, 0.8), lambda v: Distortion(shade=v, quality=75)),
    ("noise (sigma of 255)", (20, 40, 60, 80, 100, 120), lambda v: Distortion(noise=v)),
    ("blur in pixels (a cell has 12)", (1, 2, 3, 4, 5, 6), lambda v: Distortion(blur_pixels=v)),
    (
        "share of a photograph's width",
        (0.8, 0.6, 0.4, 0.3, 0.2),
        lambda v: Distortion(photograph_share=v, rotation_degrees=3, quality=75),
    ),
    (
        "all at once, times",
        (0.5, 1, 1.5, 2, 2.2),
        lambda v: Distortion(
            scale=1 - 0.3 * v,
            rotation_degrees=4 * v,
            keystone=0.03 * v,
            brightness=-0.08 * v,
            contrast=1 - 0.15 * v,
            noise=8 * v,
            quality=int(85 - 20 * v),
        ),
    ),
)
"""Name, values from easy to hard, and the way for a value."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=5)
    parser.add_argument("--cells", type=int, default=48)
    parser.add_argument("--only", default="", help="axes whose name contains this")
    options = parser.parse_args()
    for bits in (3, 2):
        capacity = picture_capacity(options.cells, bits_per_cell=bits)
        messages = [random.Random(seed).randbytes(capacity) for seed in range(options.trials)]
        pictures = [encode_picture(message, cells=options.cells, bits_per_cell=bits) for message in messages]
        print(f"\n{2**bits} colours, {options.cells} cells a side of 12 pixels, {capacity} bytes")
        for name, values, way in AXES:
            if options.only not in name:
                continue
            began, results = perf_counter(), []
            for value in values:
                read = 0
                for seed, (picture, message) in enumerate(zip(pictures, messages, strict=True)):
                    try:
                        read += decode_picture(distorted(picture, way(value), seed)) == message
                    except OpticalError:
                        continue
                results.append(f"{value:g}: {read}/{options.trials}")
            took = (perf_counter() - began) / len(values) / options.trials
            print(f"  {name:32} {'  '.join(results)}   ({took:.2f} s each)", flush=True)


if __name__ == "__main__":
    main()
