"""Training code that the chapters share: the loop over epochs, checkpoints, optimisers, and the check of settings."""

from rnnbook.training.checkpoints import (build_model, check_tensors, copy_first_rows, digest_of, find_checkpoint,
                                          load_checkpoint, load_model, save_checkpoint, save_model)
from rnnbook.training.devices import (as_tensor, clear_rounded_weights, pick_device, random_state, seeded,
                                      set_random_state)
from rnnbook.training.loop import identity, progress_bar, run
from rnnbook.training.optimizers import Adagrad, Adam, UsedRows
from rnnbook.training.settings import Count, Dropout, Momentum, Rate, Share, Size, Weight, check_settings

__all__ = ["Adagrad", "Adam", "Count", "Dropout", "Momentum", "Rate", "Share", "Size", "UsedRows", "Weight",
           "as_tensor", "build_model", "check_settings", "check_tensors", "clear_rounded_weights",
           "copy_first_rows", "digest_of", "find_checkpoint", "identity", "load_checkpoint", "load_model",
           "pick_device", "progress_bar", "random_state", "run", "save_checkpoint", "save_model", "seeded",
           "set_random_state"]
