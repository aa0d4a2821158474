"""Widgets of the book. They work in JupyterLab, and on a static page without kernel or network."""

from rnnbook.widgets.distillation import DistillationExplorer
from rnnbook.widgets.draw_first import DrawFirst
from rnnbook.widgets.evaluation_lab import EvaluationLab
from rnnbook.widgets.evidence import Evidence
from rnnbook.widgets.gradient_flow import GradientFlowExplorer
from rnnbook.widgets.inside import InsideGRU4Rec
from rnnbook.widgets.loss_curves import LossCurves
from rnnbook.widgets.loss_race import LossRace
from rnnbook.widgets.next_click import NextClick
from rnnbook.widgets.prefix_explorer import PrefixExplorer
from rnnbook.widgets.ranking_loss import RankingLossExplorer
from rnnbook.widgets.recommender import InsideRRN
from rnnbook.widgets.reviewer import Reviewer
from rnnbook.widgets.session_parallel import SessionParallelStepper
from rnnbook.widgets.side_by_side import SideBySide
from rnnbook.widgets.training import LiveTraining

__all__ = ["DistillationExplorer", "DrawFirst", "EvaluationLab", "Evidence", "GradientFlowExplorer", "InsideGRU4Rec",
           "InsideRRN", "LiveTraining", "LossCurves", "LossRace", "NextClick", "PrefixExplorer", "RankingLossExplorer",
           "Reviewer", "SessionParallelStepper", "SideBySide"]
