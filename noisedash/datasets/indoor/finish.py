"""From a drawn canvas to a photograph: light, lens and sensor."""

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from noisedash.datasets.indoor.pen import Image

Field = NDArray[np.float32]

IMAGE_WH = (320, 240)
_COARSE_WH = (80, 60)
_X, _Y = np.meshgrid(
    np.linspace(-1, 1, _COARSE_WH[0], dtype=np.float32), np.linspace(-1, 1, _COARSE_WH[1], dtype=np.float32)
)


def develop(rng: Generator, canvas: Image) -> Image:
    """The photograph (240, 320, 3) of a canvas (480, 640, 3): uneven light, a colour cast, blur and noise."""
    image = cv2.resize(canvas, IMAGE_WH, interpolation=cv2.INTER_AREA).astype(np.float32)
    cv2.multiply(image, _light_field(rng), dst=image)
    image = _blurred(rng, image)
    cv2.add(image, _grain(rng), dst=image)
    np.clip(image, 0, 255, out=image)
    return image.astype(np.uint8)


def _light_field(rng: Generator) -> Field:
    """Brightness (240, 320, 3): exposure, a gradient, soft pools of light, a corner fall-off and a colour cast."""
    field = cv2.resize(rng.normal(0, 0.06, (4, 5)).astype(np.float32), _COARSE_WH, interpolation=cv2.INTER_CUBIC)
    slope_x, slope_y = rng.normal(0, 0.13, 2)
    field += slope_x * _X + slope_y * _Y - rng.uniform(0, 0.12) * (_X**2 + _Y**2)
    exposure = np.clip(rng.normal(1.03, 0.13), 0.6, 1.3)
    warmth = rng.normal(0, 0.04)
    cast = np.array([1 + warmth, 1.0, 1 - warmth]) * exposure
    coarse = np.clip(1 + field, 0.3, 1.6)[..., None] * cast
    return np.asarray(cv2.resize(coarse.astype(np.float32), IMAGE_WH, interpolation=cv2.INTER_LINEAR))


def _grain(rng: Generator) -> Field:
    """Noise (240, 320, 3): fine in brightness, coarser in colour."""
    strength = rng.uniform(0.8, 7.0)
    coarse = rng.standard_normal((IMAGE_WH[1] // 2, IMAGE_WH[0] // 2, 3), dtype=np.float32) * np.float32(strength * 0.6)
    fine = rng.standard_normal((IMAGE_WH[1], IMAGE_WH[0]), dtype=np.float32) * np.float32(strength)
    colour = cv2.resize(coarse, IMAGE_WH, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.add(colour, cv2.merge([fine, fine, fine])))


def _blurred(rng: Generator, image: Field) -> Field:
    """Out of focus, shaken, or sharp."""
    chance = rng.random()
    if chance < 0.35:
        return np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.1)))
    if chance < 0.42:
        return np.asarray(cv2.filter2D(image, -1, _shake(rng)))
    return image


def _shake(rng: Generator) -> Field:
    """A short straight path (7, 7) of a camera that moved."""
    kernel = np.zeros((7, 7), np.float32)
    angle, reach = rng.uniform(0, np.pi), rng.uniform(1.0, 2.6)
    offset = np.array([np.cos(angle), np.sin(angle)]) * reach
    ends = np.round((np.stack([3 - offset, 3 + offset])) * 16).astype(int).tolist()
    cv2.line(kernel, tuple(ends[0]), tuple(ends[1]), 1.0, 1, cv2.LINE_8, 4)
    return np.asarray(kernel / kernel.sum())
