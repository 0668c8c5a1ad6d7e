"""The web app on Streamlit: pages are thin, what they do stands here."""
