"""Flat faces of the labelled things: exit signs, clock dials, what screens show."""

import cv2
import numpy as np
from numpy.random import Generator

from noisedash.datasets.indoor.paint import BLACK, WHITE, any_colour, blank, fill, mixed, pick, write
from noisedash.datasets.indoor.pen import Colour, Image

GREENS: tuple[Colour, ...] = ((0, 132, 78), (16, 150, 84), (0, 112, 66), (40, 168, 96))


def exit_face(rng: Generator, wide: bool) -> Image:
    """The face of an exit sign, 2.4 times as wide as high or 1.6 times."""
    texture = blank(192 if wide else 128, 80, WHITE)
    if rng.random() < 0.3:
        _exit_word(rng, texture)
    else:
        _exit_man(rng, texture, wide)
    return texture


def _exit_word(rng: Generator, texture: Image) -> None:
    red = rng.random() < 0.6
    ink = pick(rng, ((200, 24, 28),)) if red else pick(rng, GREENS)
    inverse = rng.random() < 0.4
    height, width = texture.shape[:2]
    texture[:] = np.round(ink if inverse else WHITE).astype(np.uint8)
    edge = WHITE if inverse else ink
    cv2.rectangle(texture, (3, 3), (width - 4, height - 4), edge, 2)
    wide = width > 150
    arrow = wide and rng.random() < 0.6
    write(texture, "EXIT", (width * (0.42 if arrow else 0.5), height / 2), 36 if wide else 29, edge, 800)
    if arrow:
        _arrow(texture, (width - 26, height // 2), 13, 1, edge)


def _exit_man(rng: Generator, texture: Image, wide: bool) -> None:
    green = pick(rng, GREENS)
    height, width = texture.shape[:2]
    texture[:] = np.round(green).astype(np.uint8)
    towards = 1 if rng.random() < 0.5 else -1
    middle = width * (0.5 - 0.22 * towards) if wide else width * (0.5 - 0.16 * towards)
    door = (middle + 14 * towards, 12, 34, height - 20)
    cv2.rectangle(texture, (round(door[0] - 17), 12), (round(door[0] + 17), height - 10), WHITE, -1)
    _runner(texture, middle, height, towards, green)
    if wide:
        _arrow(texture, (round(width * (0.5 + 0.27 * towards)), height // 2), 26, towards, WHITE)
    cv2.rectangle(texture, (2, 2), (width - 3, height - 3), mixed(green, WHITE, 0.55), 1)


_RUNNER = (
    ((0, -16), (-5, 6)),
    ((0, -14), (13, -6), (20, -14)),
    ((-1, -14), (-14, -10), (-20, 2)),
    ((-5, 6), (9, 12), (8, 30)),
    ((-5, 6), (-12, 20), (-27, 24)),
)


def _runner(texture: Image, middle: float, height: int, towards: int, green: Colour) -> None:
    """The running man: white on the green, green on the white door."""
    mask = np.zeros(texture.shape[:2], np.uint8)
    centre = np.array([middle, height / 2 + 2])
    for limb in _RUNNER:
        points = np.round((centre + np.array(limb) * (towards, 1.0)) * 16).astype(np.int32)
        cv2.polylines(mask, [points], False, 255, 7, cv2.LINE_AA, 4)
    head = (round(middle + 4 * towards), round(height / 2 - 23))
    cv2.circle(mask, head, 6, 255, -1, cv2.LINE_AA)
    on_door = (texture.min(axis=2) > 200)[..., None]
    ink = np.where(on_door, np.round(green).astype(np.uint8), np.uint8(246))
    share = mask[..., None].astype(np.float32) / 255
    texture[:] = np.round(texture * (1 - share) + ink * share).astype(np.uint8)


def _arrow(texture: Image, centre: tuple[int, int], reach: int, towards: int, colour: Colour) -> None:
    x, y = centre
    half = reach * 0.5
    shaft = [(x - reach * towards, y - 5), (x, y - 5), (x, y + 5), (x - reach * towards, y + 5)]
    fill(texture, shaft, colour)
    head = [(x - 3 * towards, y - half - 5), (x + reach * towards, y), (x - 3 * towards, y + half + 5)]
    fill(texture, head, colour)


def clock_face(rng: Generator, dial: Colour, ink: Colour) -> Image:
    """A dial (128, 128, 3) with marks or numerals and two or three hands."""
    texture = blank(128, 128, dial)
    numerals = rng.random() < 0.5
    for hour in range(12):
        direction = np.array([np.sin(hour * np.pi / 6), -np.cos(hour * np.pi / 6)])
        if numerals:
            x, y = 64 + direction * 49
            write(texture, str(hour or 12), (x, y), 13, ink, 500)
        else:
            start, end = 64 + direction * (46 if hour % 3 else 42), 64 + direction * 57
            thick = 3 if hour % 3 else 5
            cv2.line(texture, _point(start), _point(end), ink, thick, cv2.LINE_AA, 4)
    minute, hour_angle = rng.uniform(0, 2 * np.pi), rng.uniform(0, 2 * np.pi)
    for angle, reach, thick in ((hour_angle, 28, 7), (minute, 43, 5)):
        _hand(texture, angle, reach, thick, ink)
    if rng.random() < 0.6:
        _hand(texture, rng.uniform(0, 2 * np.pi), 48, 2, (204, 40, 36))
    cv2.circle(texture, (64, 64), 5, ink, -1, cv2.LINE_AA)
    return texture


def _hand(texture: Image, angle: float, reach: float, thick: int, colour: Colour) -> None:
    direction = np.array([np.sin(angle), -np.cos(angle)])
    cv2.line(texture, _point(64 - direction * 9), _point(64 + direction * reach), colour, thick, cv2.LINE_AA, 4)


def _point(position: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[int, int]:
    x, y = np.round(position * 16).astype(int).tolist()
    return x, y


def screen_face(rng: Generator) -> Image:
    """What a display shows (108, 192, 3): windows, code, a chart, a slide, a picture, a board, or nothing."""
    shows = (_desktop, _code, _chart, _slide, _landscape, _board, _dark, _dark)
    return shows[int(rng.integers(len(shows)))](rng)


def _dark(rng: Generator) -> Image:
    """Switched off, with the reflection of a lamp."""
    texture = blank(192, 108, pick(rng, ((22, 24, 28), (34, 38, 44), (14, 14, 18)), 4))
    sheen = texture.copy()
    left = rng.uniform(-40, 150)
    fill(sheen, [(left, 0), (left + 70, 0), (left + 20, 108), (left - 50, 108)], (120, 126, 134))
    mixed_sheen = cv2.addWeighted(texture, 0.8, sheen, 0.2, 0)
    return np.asarray(cv2.GaussianBlur(mixed_sheen, (0, 0), 2), dtype=np.uint8)


def _desktop(rng: Generator) -> Image:
    top, bottom = any_colour(rng, (0.3, 0.8)), any_colour(rng, (0.3, 0.8))
    texture = _gradient(top, bottom)
    for _ in range(int(rng.integers(1, 4))):
        x, y = int(rng.integers(5, 90)), int(rng.integers(4, 40))
        width, height = int(rng.integers(50, 95)), int(rng.integers(30, 56))
        cv2.rectangle(texture, (x, y), (x + width, y + height), WHITE, -1)
        cv2.rectangle(texture, (x, y), (x + width, y + 7), any_colour(rng, (0.1, 0.6)), -1)
        for line in range(y + 13, y + height - 4, 6):
            cv2.line(
                texture, (x + 4, line), (x + 4 + int(rng.integers(width // 3, width - 8)), line), (150, 152, 158), 2
            )
    cv2.rectangle(texture, (0, 100), (192, 108), mixed(bottom, BLACK, 0.6), -1)
    for icon in range(int(rng.integers(3, 9))):
        cv2.rectangle(texture, (5 + icon * 11, 102), (11 + icon * 11, 106), any_colour(rng), -1)
    return texture


def _code(rng: Generator) -> Image:
    light = rng.random() < 0.3
    texture = blank(192, 108, WHITE if light else pick(rng, ((30, 32, 40), (38, 42, 54), (12, 40, 52)), 5))
    cv2.rectangle(texture, (0, 0), (26, 108), (214, 216, 220) if light else (50, 54, 64), -1)
    inks = [any_colour(rng, (0.3, 0.7)) for _ in range(4)]
    indent = 0
    for line in range(7, 104, 6):
        indent = int(np.clip(indent + rng.integers(-1, 2), 0, 4))
        x = 33 + indent * 9
        for _ in range(int(rng.integers(0, 5))):
            end = x + int(rng.integers(6, 30))
            cv2.line(texture, (x, line), (min(end, 186), line), inks[int(rng.integers(4))], 2)
            x = end + 5
    return texture


def _chart(rng: Generator) -> Image:
    dark = rng.random() < 0.4
    texture = blank(192, 108, (32, 36, 48) if dark else WHITE)
    ink = (190, 194, 202) if dark else (90, 94, 102)
    cv2.line(texture, (20, 92), (180, 92), ink, 2)
    cv2.line(texture, (20, 12), (20, 92), ink, 2)
    colours = [any_colour(rng, (0.5, 0.9)) for _ in range(3)]
    if rng.random() < 0.5:
        for bar in range(8):
            top = int(rng.integers(20, 85))
            cv2.rectangle(texture, (28 + bar * 19, top), (40 + bar * 19, 90), colours[bar % 3], -1)
    else:
        x = np.linspace(24, 178, 24)
        for colour in colours:
            y = np.clip(60 + np.cumsum(rng.normal(0, 6, 24)), 14, 90)
            points = np.round(np.stack([x, y], axis=1)).astype(np.int32)
            cv2.polylines(texture, [points], False, colour, 2, cv2.LINE_AA)
    return texture


def _slide(rng: Generator) -> Image:
    accent = any_colour(rng, (0.4, 0.9))
    texture = blank(192, 108, WHITE)
    cv2.rectangle(texture, (0, 0), (192, 22), accent, -1)
    cv2.line(texture, (10, 11), (10 + int(rng.integers(60, 130)), 11), WHITE, 5)
    for line in range(36, 96, 14):
        cv2.circle(texture, (16, line), 3, accent, -1, cv2.LINE_AA)
        cv2.line(texture, (26, line), (40 + int(rng.integers(20, 70)), line), (110, 112, 120), 3)
    cv2.rectangle(texture, (124, 34), (180, 94), mixed(accent, WHITE, 0.6), -1)
    return texture


def _landscape(rng: Generator) -> Image:
    texture = _gradient(pick(rng, ((90, 150, 220), (250, 170, 110), (60, 80, 150))), (236, 226, 210))
    cv2.circle(texture, (int(rng.integers(20, 170)), int(rng.integers(14, 40))), 10, (255, 240, 200), -1, cv2.LINE_AA)
    for base in (60, 78):
        x = np.linspace(0, 192, 9)
        y = base + rng.uniform(-16, 16, 9)
        ridge = np.concatenate([np.stack([x, y], axis=1), [[192, 108], [0, 108]]])
        fill(texture, ridge, pick(rng, ((70, 110, 80), (90, 100, 130), (40, 80, 60), (120, 96, 80))))
    return texture


def _board(rng: Generator) -> Image:
    """A departure board: rows of short words on a dark ground."""
    texture = blank(192, 108, (16, 26, 52))
    cv2.rectangle(texture, (0, 0), (192, 16), (240, 190, 40), -1)
    for row in range(24, 104, 11):
        for left, most in ((8, 24), (44, 80), (140, 44)):
            ink = (240, 210, 90) if left == 140 else (226, 230, 240)
            cv2.line(texture, (left, row), (left + int(rng.integers(most // 2, most)), row), ink, 4)
    return texture


def _gradient(top: Colour, bottom: Colour) -> Image:
    share = np.linspace(0, 1, 108)[:, None, None]
    column = np.asarray(top) * (1 - share) + np.asarray(bottom) * share
    return np.ascontiguousarray(np.broadcast_to(np.round(column), (108, 192, 3)).astype(np.uint8))
