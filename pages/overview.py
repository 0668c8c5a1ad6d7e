"""Where a visit begins."""

from noisedash.ui import overview
from noisedash.ui.layout import heading
from noisedash.ui.services import store

heading("NoiseDash", "What imperfect labels do to an object detector, and what to do about it.")
overview.render(store())
