"""A process that draws images: `python -m noisedash.datasets.indoor.draw FOLDER SEED START STOP STEP`.

It writes the files and says one line of JSON for each, see `generation.DrawnImage`.
"""

import hashlib
import json
import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from noisedash.datasets.indoor.finish import IMAGE_WH, develop
from noisedash.datasets.indoor.generation import file_name
from noisedash.datasets.indoor.pen import Image
from noisedash.datasets.indoor.room import CANVAS_WH
from noisedash.datasets.indoor.scene import draw_scene

JPEG_QUALITY = 90


def draw_image(seed: int, index: int) -> tuple[Image, tuple[str, ...], NDArray[np.float64]]:
    """Image `index` of a seed: RGB (240, 320, 3), its labels, and their boxes (M, 4) in its pixels."""
    rng = np.random.default_rng([seed, index])
    picture = draw_scene(rng)
    return develop(rng, picture.canvas.colour), picture.labels, picture.boxes * (IMAGE_WH[0] / CANVAS_WH[0])


def main(arguments: list[str]) -> int:
    """Draw the images that the arguments name; the exit status."""
    folder = Path(arguments[0])
    seed, start, stop, step = (int(argument) for argument in arguments[1:])
    cv2.setNumThreads(1)
    for index in range(start, stop, step):
        pixels, labels, boxes = draw_image(seed, index)
        encoded, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        assert encoded
        try:
            (folder / file_name(index)).write_bytes(data.tobytes())
        except OSError as error:
            sys.stderr.write(f"{error.strerror}\n")
            return 1
        line = {
            "index": index,
            "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
            "labels": labels,
            "boxes": boxes.tolist(),
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
