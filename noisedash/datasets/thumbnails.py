"""Small pictures for the web pages."""

import cv2
import numpy as np

from noisedash.datasets.dataset import Dataset
from noisedash.datasets.decode import damaged_image, decode, read_image_file

QUALITY = 85
REDUCED = ((8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4), (2, cv2.IMREAD_REDUCED_COLOR_2))


def thumbnail(dataset: Dataset, image_row: int, width: int) -> bytes:
    """Image `image_row` as a JPEG `width` pixels wide, or its own width where that is smaller.

    It carries no EXIF orientation, so that a browser shows the raw pixels which the boxes are of. Raises DataError
    where the file is gone or damaged since the dataset was registered.
    """
    full_width, full_height = int(dataset.images.width[image_row]), int(dataset.images.height[image_row])
    width = min(max(width, 1), full_width)
    height = max(1, round(full_height * width / full_width))
    flags = next((flag for factor, flag in REDUCED if full_width >= 2 * factor * width), cv2.IMREAD_COLOR)
    path = dataset.image_path(image_row)
    pixels = decode(read_image_file(path), flags)
    if pixels is None:
        raise damaged_image(path)
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    encoded, jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    assert encoded, f"a JPEG of {width} x {height} pixels could not be made"
    return jpeg.tobytes()
