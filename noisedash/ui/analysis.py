"""What the Statistics tab shows, without the page: tables of `studies.robustness` as figures ask for them."""

from typing import Literal

import pandas as pd
import plotly.graph_objects as go

from noisedash.figures.evaluation import Whisker, bands_over_rate, whiskers
from noisedash.figures.style import loss_style
from noisedash.studies.robustness import ap_intervals, drop_intervals, min_max
from noisedash.studies.wording import rate_in_words
from noisedash.ui.text import percent

Form = Literal["mAP", "points lost", "per cent lost", "min-max"]
FORMS: dict[Form, tuple[str, str]] = {
    "mAP": ("mAP@.50", "Means over runs, with 95 % intervals."),
    "points lost": (
        "mAP points lost since clean labels",
        "Points (hundredths of mAP) below the clean run of the same seed, with 95 % intervals.",
    ),
    "per cent lost": (
        "mAP lost since clean labels, %",
        "The points lost in per cent of what the clean run of the same seed reaches, with 95 % intervals.",
    ),
    "min-max": (
        "(mAP - lowest) / (highest - lowest)",
        "The authors' “relative decrease” (their Figure 4): each curve is stretched so that its lowest point is 0 and "
        "its highest 1. It compares shapes only, neither heights nor how deep a curve falls; so it has no interval.",
    ),
}
"""How the curves can be drawn: the axis's title, and what that form says."""


def curves(rows: pd.DataFrame, form: Form) -> pd.DataFrame:
    """The means in that form, with `low` and `high` where it has intervals."""
    if form == "mAP":
        return ap_intervals(rows)
    if form == "min-max":
        return min_max(rows)
    return drop_intervals(rows, "points" if form == "points lost" else "percent")


def figure(table: pd.DataFrame, title: str) -> go.Figure:
    """A curve per loss with its band; a row per loss where there is one share of missing labels only."""
    rates = table["missing_rate"].unique()
    if len(rates) > 1 or "low" not in table:
        return bands_over_rate(table, title)
    rows = [
        Whisker(
            ", ".join(filter(None, (row["loss"], row["settings"]))),
            row["value"],
            row["low"],
            row["high"],
            loss_style(row["kind"], row["gamma"]),
        )
        for _, row in table.iterrows()
    ]
    return whiskers(rows, f"{title}, at {percent(rates[0])} missing", zero=True)


def compared(table: pd.DataFrame, of: Literal["ap", "drop"], kind: str, gamma: float) -> list[Whisker]:
    """A row of `compare_losses` each, in points; drawn like the loss of that kind and gamma."""
    scale, style = 1.0 if of == "drop" else 100.0, loss_style(kind, gamma)
    return [
        Whisker(
            ", ".join(filter(None, (f"{percent(row['missing_rate'])} missing", row["settings"]))),
            scale * row["value"],
            scale * row["low"],
            scale * row["high"],
            style,
        )
        for _, row in table.iterrows()
    ]


def tolerated(table: pd.DataFrame) -> list[Whisker]:
    """A row of `tolerances` each, in per cent of the labels."""
    return [
        Whisker(
            ", ".join(filter(None, (row["loss"], row["class_name"], row["settings"]))),
            100 * row["tolerates"],
            100 * row["low"],
            100 * row["high"],
            loss_style(row["kind"], row["gamma"]),
        )
        for _, row in table.iterrows()
    ]


def tolerance_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `tolerances` as a person reads them: rates as text, since some lie beyond what was measured."""

    def told(row: "pd.Series[float]", column: str) -> str:
        if pd.isna(row[column]):
            return "unknown"
        beyond = row[column] == float("inf")
        return f"> {rate_in_words(row['measured_to'])}" if beyond else rate_in_words(row[column])

    rates = {
        heading: [told(row, column) for _, row in table.iterrows()]
        for column, heading in {"tolerates": "tolerates", "low": "from", "high": "to"}.items()
    }
    classes = table["class_name"].replace("", "mean of all")
    return pd.DataFrame({"loss": table["loss"], "class": classes, **rates, "curves": table["runs"]})


def risk_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `risks` as a person reads them, in per cent."""
    columns = {"probability": "probability, %", "low": "from, %", "high": "to, %"}
    shares = {heading: 100 * table[column] for column, heading in columns.items()}
    missing = 100 * table["missing_rate"]
    return pd.DataFrame(
        {"loss": table["loss"], "missing, %": missing, **shares, "runs": table["runs"], "varies": table["varies"]}
    )
