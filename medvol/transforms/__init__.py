"""Pretext tasks, views and corruptions as MONAI dictionary transforms."""

from .axis_flips import RandAxisFlipsd
from .bezier import RandBezierIntensityd
from .blur import RandPatchBlurd
from .classes import LabelsToClassesd
from .corruption import CORRUPTIONS, SPATIAL_CORRUPTIONS, Corruptiond
from .each_view import RandEachViewd
from .foreground import ForegroundMaskd
from .foreground_crop import RandForegroundCropd
from .fusion import RandVolumeFusiond
from .gamma import RandPatchGammad
from .intensity import RandPatchIntensityd
from .jigsaw import RandJigsawd
from .location import RandRelativeLocationd, center_pairs, location_names
from .masking import RandBlockMaskd
from .modalities import SelectChannelsd
from .noise import RandPatchNoised
from .painting import RandPaintd
from .partial import RandReadCropByPosNegLabeld, RandReadCropd
from .patches import RandPatchGridd
from .permutations import hamming_distances, permutation_set
from .regions import ClassesToLabelsd, LabelsToRegionsd, RegionsToLabelsd
from .rotations import RandRotationsd, num_rotations, rotation_classes
from .saving import SavePredictiond
from .shuffling import RandLocalShuffled
from .targets import TargetsToLabeld
from .views import RandViewsd

__all__ = [
    "CORRUPTIONS",
    "SPATIAL_CORRUPTIONS",
    "ClassesToLabelsd",
    "Corruptiond",
    "ForegroundMaskd",
    "LabelsToClassesd",
    "LabelsToRegionsd",
    "RandAxisFlipsd",
    "RandBezierIntensityd",
    "RandBlockMaskd",
    "RandEachViewd",
    "RandForegroundCropd",
    "RandJigsawd",
    "RandLocalShuffled",
    "RandPaintd",
    "RandPatchBlurd",
    "RandPatchGammad",
    "RandPatchGridd",
    "RandPatchIntensityd",
    "RandPatchNoised",
    "RandReadCropByPosNegLabeld",
    "RandReadCropd",
    "RandRelativeLocationd",
    "RandRotationsd",
    "RandViewsd",
    "RandVolumeFusiond",
    "RegionsToLabelsd",
    "SavePredictiond",
    "SelectChannelsd",
    "TargetsToLabeld",
    "center_pairs",
    "hamming_distances",
    "location_names",
    "num_rotations",
    "permutation_set",
    "rotation_classes",
]
