"""The controls of the Noise and Launch pages that make a recipe: rates, who is hit, and how far boxes are off."""

from collections.abc import Callable, Mapping, Sequence

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from noisedash.frozen import parse
from noisedash.noise_spec import (
    NOISE_KINDS,
    ByClass,
    ByCrowding,
    ByOcclusion,
    BySize,
    NoiseRecipe,
    Uniform,
    Weighting,
    WholeImages,
)

RATES = {
    "missing": ("Missing labels", "rate", 30),
    "inaccurate": ("Inaccurate boxes", "inaccurate", 20),
    "wrong_class": ("Wrong classes", "wrong", 10),
    "extra": ("Extra boxes", "extra", 10),
}
"""For each kind the label of its slider, its name in the address, and the rate in per cent to begin with."""

SOME_CLASSES = "some classes more"
TIMES_AS_LIKELY = 5.0
WHO: dict[str, Callable[[Sequence[str]], Weighting]] = {
    "any box alike": lambda _: Uniform(),
    "small boxes more": lambda _: BySize(exponent=-1),
    "large boxes more": lambda _: BySize(exponent=1),
    SOME_CLASSES: lambda names: (
        ByClass(weights=tuple((name, TIMES_AS_LIKELY) for name in sorted(names))) if names else Uniform()
    ),
    "crowded boxes more": lambda _: ByCrowding(exponent=1),
    "lone boxes more": lambda _: ByCrowding(exponent=-1),
    "hidden boxes more": lambda _: ByOcclusion(factor=4),
    "whole images": lambda _: WholeImages(),
}
FOR_EXTRA = 4
"""So many of WHO, from the first, make sense for extra boxes."""


def choose_recipe(classes: Sequence[str], seed: int) -> NoiseRecipe:
    """The recipe that the controls say, all in the address; every kind has a step, of rate 0 where it is not used."""
    rates = _choose_rates({kind: start for kind, (_, _, start) in RATES.items()})
    with st.expander("Who is hit, and how far boxes are off"):
        who = _choose_who(classes, st.columns(4, gap="medium"))
        amounts = _choose_amounts()
    return _recipe(rates, who, amounts, seed)


def choose_beside_missing(classes: Sequence[str]) -> NoiseRecipe:
    """The noise beside missing labels whose rates are chosen elsewhere; of these it says who is hit, at rate 0.

    The controls are those of the Noise page, by the same names in the address, and start with no noise; they lie open
    from the start where the address asks for some.
    """
    others = {kind: key for kind, (_, key, _) in RATES.items() if kind != "missing"}
    opened = st.session_state.setdefault("noise-opened", any(key in st.query_params for key in others.values()))
    with st.expander("Noise beside missing labels, and who is hit", opened, icon=":material/blur_on:"):
        rates = {"missing": 0.0, **_choose_rates(dict.fromkeys(others, 0))}
        who = _choose_who(classes, [*st.columns(2, gap="medium"), *st.columns(2, gap="medium")])
        return _recipe(rates, who, _choose_amounts(), seed=0)


def _recipe(
    rates: Mapping[str, float], who: Mapping[str, Weighting], amounts: Mapping[str, Mapping[str, float]], seed: int
) -> NoiseRecipe:
    steps = [
        {"kind": kind, "rate": rates[kind], "seed": seed, "weighting": who[kind], **amounts.get(kind, {})}
        for kind in NOISE_KINDS
    ]
    return parse(NoiseRecipe, {"steps": steps}, "This noise")


def _choose_rates(starts: Mapping[str, int]) -> dict[str, float]:
    """A slider for each of these kinds, from these rates in per cent on."""
    columns = st.columns(len(starts), gap="medium")
    rates = {}
    for column, (kind, start) in zip(columns, starts.items(), strict=True):
        label, key, _ = RATES[kind]
        rates[kind] = column.slider(label, 0, 100, start, format="%d %%", key=key, bind="query-params") / 100
    return rates


def _choose_who(classes: Sequence[str], places: Sequence[DeltaGenerator]) -> dict[str, Weighting]:
    """Who is hit by each kind, asked at a place for each."""
    chosen = {}
    for column, (kind, (label, key, _)) in zip(places, RATES.items(), strict=True):
        names = list(WHO)[:FOR_EXTRA] if kind == "extra" else list(WHO)
        title = "Extra boxes are like" if kind == "extra" else f"{label} hit"
        chosen[kind] = column.selectbox(title, names, key=f"{key}-who", bind="query-params")
    more: Sequence[str] = ()
    if SOME_CLASSES in chosen.values():
        more = st.multiselect(
            f"Classes that are {TIMES_AS_LIKELY:g} times as likely", classes, key="more", bind="query-params"
        )
    return {kind: WHO[name](more) for kind, name in chosen.items()}


def _choose_amounts() -> dict[str, dict[str, float]]:
    first, second, third = st.columns(3, gap="medium")
    centre = first.slider(
        "Centres off by up to", 0, 50, 20, format="%d %% of the side", key="centre", bind="query-params"
    )
    size = second.slider("Sides off by up to", 0, 50, 20, format="%d %% of the side", key="size", bind="query-params")
    overlap = third.slider(
        "Extra boxes overlap a real one by IoU", 0, 90, 10, format="%d %%", key="iou", bind="query-params"
    )
    return {"inaccurate": {"centre": centre / 100, "size": size / 100}, "extra": {"max_iou": overlap / 100}}
