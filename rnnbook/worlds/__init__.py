"""Synthetic worlds whose best possible score is computed exactly.

On real clicks nobody knows how much could be predicted. Here the law behind the clicks is written down, so
Bayes' rule gives the best prediction there is, and a model's score becomes a share of what can be had.
"""

from rnnbook.worlds.chain import FutureChain, divergence
from rnnbook.worlds.ratings import KalmanFilter, RatingOptimum, RatingWorld
from rnnbook.worlds.reviews import ReviewOptimum, ReviewWorld
from rnnbook.worlds.sessions import BayesFilter, DriftWorld, LastItem, MarkovWorld, Optimum, SessionWorld

__all__ = ["BayesFilter", "DriftWorld", "FutureChain", "KalmanFilter", "LastItem", "MarkovWorld", "Optimum",
           "RatingOptimum", "RatingWorld", "ReviewOptimum", "ReviewWorld", "SessionWorld", "divergence"]
