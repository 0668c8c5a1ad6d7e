"""One run in detail: thresholds, false alarms, precision and recall, causes of errors."""

from noisedash.ui import run_detail
from noisedash.ui.layout import heading
from noisedash.ui.services import store

heading("Run", "One run in detail: what it finds, what it misses, and why.")
run_detail.render(store())
