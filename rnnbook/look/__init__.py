"""Look at a log before anybody trains: its `facts`, a text that states them, and an HTML page with pictures."""

from rnnbook.look.counts import GAPS, PERCENTILES, RatingFacts, SessionFacts, facts
from rnnbook.look.pictures import page
from rnnbook.look.words import describe

__all__ = ["GAPS", "PERCENTILES", "RatingFacts", "SessionFacts", "describe", "facts", "page"]
