"""The web app: `streamlit run app.py`. Streamlit's own server with our routes and guards."""

from pathlib import Path

import streamlit as st

from noisedash.ui.images import image_route
from noisedash.ui.security import middleware

app = st.App(Path(__file__).parent / "noisedash/ui/main.py", routes=[image_route()], middleware=middleware())
