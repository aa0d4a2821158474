"""Synthetic worlds whose best possible score is computed exactly.

For real clicks, the best possible score is unknown. Here we know the distribution that generates the clicks, so
Bayes' rule gives the best possible prediction. A model's score can then be compared with the best possible one.
"""

from rnnbook.worlds.chain import FutureChain, divergence
from rnnbook.worlds.jumps import JumpFilter, JumpWorld
from rnnbook.worlds.memory import LongMemoryWorld, MemoryFilter
from rnnbook.worlds.moving import MovingReviewWorld
from rnnbook.worlds.ratings import KalmanFilter, RatingOptimum, RatingWorld
from rnnbook.worlds.reviews import ReviewOptimum, ReviewWorld
from rnnbook.worlds.sessions import BayesFilter, DriftWorld, LastItem, MarkovWorld, Optimum, SessionWorld

__all__ = ["BayesFilter", "DriftWorld", "FutureChain", "JumpFilter", "JumpWorld", "KalmanFilter", "LastItem",
           "LongMemoryWorld", "MarkovWorld", "MemoryFilter", "MovingReviewWorld", "Optimum",
           "RatingOptimum", "RatingWorld", "ReviewOptimum", "ReviewWorld", "SessionWorld", "divergence"]
