"""Being written."""

from noisedash.ui.layout import heading

heading("Results", "Being written.")
