"""Which boxes go missing, on any image, at any rate."""

from noisedash.ui import noise_page
from noisedash.ui.layout import heading

heading(
    "Noise",
    "Which labels a study takes away: the same boxes for every loss, and at each higher rate those of every lower one.",
)
noise_page.render()
