"""Baselines for recurrent models: counts and nearest neighbours for sessions, factor models for ratings."""

from rnnbook.baselines.drift import EstimatedKalman, ForgettingMF
from rnnbook.baselines.ratings import (AutoRec, Biases, MatrixFactorization, OnlineMF, RatingBaseline, Smoothing,
                                       TimeSVDpp)
from rnnbook.baselines.residual import Residual, prequential
from rnnbook.baselines.reviews import ReviewRidge
from rnnbook.baselines.sessions import (STAN, VSKNN, VSTAN, HistoryRecommender, ItemKNN, LastItemRecommender, Markov,
                                        Popularity, PopularityTies, SessionKNN, SessionPopularity)

__all__ = ["STAN", "VSKNN", "VSTAN", "AutoRec", "Biases", "EstimatedKalman", "ForgettingMF", "HistoryRecommender",
           "ItemKNN", "LastItemRecommender", "Markov", "MatrixFactorization", "OnlineMF", "Popularity",
           "PopularityTies", "RatingBaseline", "Residual", "ReviewRidge", "SessionKNN", "SessionPopularity",
           "Smoothing", "TimeSVDpp", "prequential"]
