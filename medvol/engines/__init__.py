"""Engines: the one trainer, what happens around its steps, and what evaluation keeps of every case."""

from medvol.engines.classified import ScoreClasses
from medvol.engines.clock import num_epochs
from medvol.engines.evaluation import SaveEmbeddings, ScoreCases
from medvol.engines.events import StepEvents
from medvol.engines.inference import FlipInferer
from medvol.engines.monitors import Monitor
from medvol.engines.overlays import SaveOverlays
from medvol.engines.reconstructions import SaveReconstructions
from medvol.engines.sawtooth import Sawtooth
from medvol.engines.schedules import Constant, FrozenWarmup, WarmupCosine
from medvol.engines.suite import TrainingSuite
from medvol.engines.trainer import Trainer
from medvol.engines.validation import PretextEvaluator, PretextValidator

__all__ = [
    "Constant",
    "FlipInferer",
    "FrozenWarmup",
    "Monitor",
    "PretextEvaluator",
    "PretextValidator",
    "SaveEmbeddings",
    "SaveOverlays",
    "SaveReconstructions",
    "Sawtooth",
    "ScoreCases",
    "ScoreClasses",
    "StepEvents",
    "Trainer",
    "TrainingSuite",
    "WarmupCosine",
    "num_epochs",
]
