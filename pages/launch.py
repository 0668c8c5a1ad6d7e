"""Being written."""

from noisedash.ui.layout import heading

heading("Launch", "Being written.")
