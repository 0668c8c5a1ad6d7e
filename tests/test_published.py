"""The paper's numbers, as its figures and text have them."""

import pytest

from noisedash.errors import NotFoundError
from noisedash.published import DATASETS, NOTES, SOURCE, curves_over_gamma, curves_over_noise, dataset

RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def test_table_1() -> None:
    rows = [(row.title, row.images, row.instances, row.classes) for row in DATASETS.values()]
    assert rows == [("Indoor", 2213, 4500, 7), ("PASCAL VOC 2012", 17125, 40000, 20), ("FDDB", 2845, 5171, 1)]


@pytest.mark.parametrize(("name", "ce_drop", "focal_drop"), [("pascal_voc", 12.10, 20.12), ("fddb", 8.30, 18.28)])
def test_the_drops_that_the_text_quotes(name: str, ce_drop: float, focal_drop: float) -> None:
    drops = [100 * (curve.mean_ap[0] - curve.mean_ap[-1]) for curve in curves_over_noise(name)]
    # The text says 8.03 for cross-entropy on FDDB; the numbers say 8.30.
    assert drops == pytest.approx([ce_drop, focal_drop], abs=0.011)


@pytest.mark.parametrize("name", DATASETS)
def test_every_curve_has_a_value_at_every_point(name: str) -> None:
    for noise_curve in curves_over_noise(name):
        assert noise_curve.missing_rates == RATES
        assert len(noise_curve.mean_ap) == len(RATES)
    for gamma_curve in curves_over_gamma(name):
        assert gamma_curve.gammas == tuple(float(gamma) for gamma in range(9))
        assert len(gamma_curve.mean_ap) == 9
        assert all(0 < value < 1 for value in gamma_curve.mean_ap)


@pytest.mark.parametrize("name", DATASETS)
def test_the_two_experiments_share_gamma_2(name: str) -> None:
    focal = dict(zip(RATES, curves_over_noise(name)[1].mean_ap, strict=True))
    for curve in curves_over_gamma(name):
        expected = 0.3349 if (name, curve.missing_rate) == ("pascal_voc", 0.5) else focal[curve.missing_rate]
        assert curve.mean_ap[2] == expected


def test_an_unknown_dataset_is_refused_with_the_choices() -> None:
    for function in (dataset, curves_over_noise, curves_over_gamma):
        with pytest.raises(NotFoundError, match="no dataset 'coco': choose one of indoor, pascal_voc, fddb"):
            function("coco")


def test_it_names_its_source() -> None:
    assert "SAFECOMP 2021" in SOURCE
    assert len(NOTES) == 3
