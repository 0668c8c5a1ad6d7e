"""What trains now, what waits, and what went wrong."""

from noisedash.ui import jobs
from noisedash.ui.layout import heading
from noisedash.ui.services import store

heading("Queue", "What trains now, what waits, and what went wrong.")
jobs.render(store())
