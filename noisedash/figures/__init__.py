"""Records and tidy frames into plotly figures: pure functions, no torch, no Streamlit."""
