"""Images: which there are, fits and scores for them, and what is shown of it."""
