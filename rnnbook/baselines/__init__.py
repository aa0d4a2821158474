"""Baselines for recurrent models: counts and nearest neighbours for sessions, factor models for ratings."""

from rnnbook.baselines.ratings import AutoRec, Biases, MatrixFactorization, OnlineMF, RatingBaseline, TimeSVDpp
from rnnbook.baselines.sessions import (VSKNN, HistoryRecommender, ItemKNN, LastItemRecommender, Markov, Popularity,
                                        PopularityTies, SessionKNN, SessionPopularity)

__all__ = ["VSKNN", "AutoRec", "Biases", "HistoryRecommender", "ItemKNN", "LastItemRecommender", "Markov",
           "MatrixFactorization", "OnlineMF", "Popularity", "PopularityTies", "RatingBaseline", "SessionKNN",
           "SessionPopularity", "TimeSVDpp"]
