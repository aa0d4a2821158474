"""Containers of user-item interactions as flat arrays: sessions of clicks, ratings, and ratings with reviews."""

from rnnbook.interactions.ratings import RatingData, concatenate
from rnnbook.interactions.reviews import ReviewData
from rnnbook.interactions.sessions import DAY, SessionData
from rnnbook.interactions.tables import DataError

__all__ = ["DAY", "DataError", "RatingData", "ReviewData", "SessionData", "concatenate"]
