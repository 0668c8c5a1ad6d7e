"""What hangs and stands about without a label, some of it much like the labelled things."""

from collections.abc import Callable

from numpy.random import Generator

from noisedash.datasets.indoor.flat_clutter import picture, poster, safety_sign, whiteboard
from noisedash.datasets.indoor.floor_clutter import (
    cardboard,
    floor_lamp,
    plant,
    red_vessel,
    stool,
    suitcase,
    traffic_cone,
)
from noisedash.datasets.indoor.furniture import books_and_mug, cabinet, desk, desk_lamp, microwave
from noisedash.datasets.indoor.model import Model
from noisedash.datasets.indoor.round_clutter import alarm_bell, round_thing
from noisedash.datasets.indoor.wall_clutter import door, shelf, small_box_on_wall, window

Maker = Callable[[Generator], Model]

ON_WALLS: tuple[Maker, ...] = (
    picture,
    picture,
    poster,
    poster,
    safety_sign,
    safety_sign,
    whiteboard,
    window,
    door,
    shelf,
    small_box_on_wall,
    small_box_on_wall,
    alarm_bell,
    round_thing,
    round_thing,
)
ON_FLOORS: tuple[Maker, ...] = (
    cardboard,
    cardboard,
    plant,
    floor_lamp,
    suitcase,
    red_vessel,
    red_vessel,
    traffic_cone,
    stool,
    cabinet,
)
ON_TOPS: tuple[Maker, ...] = (desk_lamp, books_and_mug, books_and_mug, microwave, red_vessel)
SUPPORTS: tuple[Maker, ...] = (desk, desk, cabinet)
