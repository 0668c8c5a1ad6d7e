"""What noise does to the labels, on any image, at any rate."""

from noisedash.ui import noise_page
from noisedash.ui.layout import heading

heading(
    "Noise",
    "Four ways to annotate badly: boxes missing, drawn inaccurately, of a wrong class, or where nothing is. The same "
    "boxes are hit for every loss, and at each higher rate those of every lower one.",
)
noise_page.render()
