"""Where the paper's text and its own numbers part, so that nobody looks for the fault in their runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Discrepancy:
    """One sentence of the paper, and what its published numbers give."""

    place: str
    text: str
    numbers: str


DISCREPANCIES = (
    Discrepancy(
        "Section 4.1, FDDB",
        "From clean to 50 % missing, cross-entropy loses 8.03 points.",
        "8.30 (.9502 to .8672); 8.03 is by how much more the focal loss loses than cross-entropy on PASCAL VOC.",
    ),
    Discrepancy(
        "Section 4.2, FDDB",
        "At γ = 8 the clean dataset is only 2 % more accurate than the heavily noised one.",
        "1.19 points (.9606 and .9487).",
    ),
    Discrepancy(
        "Section 4.2, Indoor",
        "A higher γ does not affect the clean dataset.",
        "γ = 8 is 2.82 points below γ = 2 on clean labels; on PASCAL VOC it is 10.49 points below.",
    ),
    Discrepancy(
        "Figures 3 and 5, PASCAL VOC",
        "One model, γ = 2 at 50 % missing, stands in both figures.",
        ".3312 in Figure 3, .3349 in Figure 5.",
    ),
    Discrepancy("Section 4.2", "γ = 1, 2, …, 8 were tested.", "γ = 0 was tested too, and is quoted."),
    Discrepancy(
        "Figure 4",
        "The relative decrease in mAP, in per cent.",
        "Each curve stretched to span 0 to 1: it shows the shape of the fall, not its depth.",
    ),
)
"""In the order of the page that shows them; the numbers are those of results.json."""
