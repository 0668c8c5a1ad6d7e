"""How robust each loss is, at every noise rate, γ, class and score threshold."""

from noisedash.ui import results_page
from noisedash.ui.layout import heading
from noisedash.ui.services import store

heading("Results", "What the missing labels cost each loss, measured on clean test images.")
results_page.render(store())
