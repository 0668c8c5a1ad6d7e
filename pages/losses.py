"""The focal loss: the paper's Figures 2 and 6, the gradient, and the don't-care region."""

from noisedash.ui import losses
from noisedash.ui.layout import heading

heading("Losses", "Why a large γ lets an unlabelled object rest: what each loss charges, and how hard it pulls.")
chosen = losses.controls()
losses.render(chosen)
losses.render_measured(chosen.share)
