"""Choose dataset, noise, losses and settings; see what it costs; launch."""

from noisedash.ui import launch
from noisedash.ui.layout import heading

heading("Launch", "Take labels away, train each loss on what is left, and compare: choose what, see the price, start.")
launch.render()
