"""rnnbook: recurrent recommender systems, built chapter by chapter."""

__version__ = "0.1.0"
