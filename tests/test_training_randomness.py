import itertools

from noisedash.training.randomness import Purpose, generator_at


def test_generators_depend_on_seed_purpose_and_place_only() -> None:
    places = list(itertools.product((0, 1, 2**70 + 5), Purpose, (0, 1, 10**6), (0, 1)))
    draws = [generator_at(*place).random(3).tolist() for place in places]
    assert draws == [generator_at(*place).random(3).tolist() for place in places]
    assert len({tuple(draw) for draw in draws}) == len(places)


def test_a_place_of_one_number_is_no_place_of_two() -> None:
    assert generator_at(0, Purpose.EPOCH_ORDER, 3).random() == generator_at(0, Purpose.EPOCH_ORDER, 0, 3).random()
    assert generator_at(0, Purpose.EPOCH_ORDER, 3).random() != generator_at(0, Purpose.EPOCH_ORDER, 3, 0).random()


def test_the_numbers_are_the_same_everywhere() -> None:
    drawn = generator_at(7, Purpose.AUGMENTATION, 11, 3).random(3)
    assert drawn.tolist() == [0.4234466355863712, 0.8049934101184748, 0.06958485306722806]
