"""The paper's curves and claims beside one's own."""

from noisedash.ui import paper_page
from noisedash.ui.layout import heading
from noisedash.ui.services import store

heading(
    "Paper", "What the paper reports, beside studies of your own: its curves, and whether your runs support its claims."
)
paper_page.render(store())
