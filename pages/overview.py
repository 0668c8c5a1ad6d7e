"""Being written."""

from noisedash.ui.layout import heading

heading("Overview", "Being written.")
