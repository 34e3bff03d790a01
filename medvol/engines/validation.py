"""Validation of a pretext task: its loss and monitors on a fixed stretch of a validation stream, for MONAI, too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from monai.engines import Evaluator, SupervisedEvaluator
from torch import nn

from medvol import distributed
from medvol.engines.clock import derive_seed
from medvol.engines.monitors import Monitor, MonitorBoard

if TYPE_CHECKING:
    from medvol.engines.reconstructions import SaveReconstructions
    from medvol.engines.trainer import Trainer


class PretextValidator:
    """Runs the network without learning on the first batches of a stream, each time with the same draws.

    ``val_loss`` is the mean over batches, each of which weighs alike. A loss that leaves out what has no label, and
    finds none in a whole batch, answers 0 and draws the mean down; monitors that count samples or voxels do not. What a
    monitor's method ``alarm`` says of its values is printed as a warning.

    Args:
        network: the bare network, as the config's ``@network``.
        loader: a ``medvol.data.stream_loader`` of validation cases, or a finite loader.
        loss_function: as in training.
        monitors: their own objects, not those of the training.
        prepare_batch: as in training; by default the trainer's.
        num_batches: batches to look at; ``None`` is about one pass over the cases.
        seed: of what network and loss draw.
        pictures: draws what a restoration network makes of the first samples.

    Raises:
        ValueError: when ``num_batches`` is smaller than 1, or unknown for an endless loader, or no batch comes.
    """

    def __init__(
        self,
        network: nn.Module,
        loader: Iterable,
        loss_function: Callable[..., torch.Tensor],
        monitors: Iterable[Monitor] = (),
        prepare_batch: Callable | None = None,
        num_batches: int | None = None,
        seed: int = 0,
        pictures: SaveReconstructions | None = None,
    ) -> None:
        self.network = network
        self.loader = loader
        self.loss_function = loss_function
        self.board = MonitorBoard(monitors)
        self.prepare_batch = prepare_batch
        self.num_batches = _one_pass(loader) if num_batches is None else num_batches
        self.seed = seed
        self.pictures = pictures
        if self.num_batches < 1:
            raise ValueError(f"expected num_batches >= 1, found {self.num_batches}; add validation cases")

    @torch.no_grad()
    def run(self, trainer: Trainer) -> dict[str, float]:
        """Return ``val_loss`` and the monitors' values as ``val_<name>``; call on all processes together.

        Args:
            trainer: tells the device, the precision and the inferer.
        """
        stream = getattr(self.loader, "stream", None)
        if stream is not None:
            stream.start_batch = 0
        self.board.reset()
        self.network.eval()
        if isinstance(self.loss_function, nn.Module):
            self.loss_function.eval()
        if self.pictures is not None:
            self.pictures.start(trainer.state.step, trainer.steps, getattr(self.loss_function, "activation", None))
        seen = 0
        for seen, batch in enumerate(itertools.islice(self.loader, self.num_batches), start=1):
            torch.manual_seed(derive_seed(self.seed, seen, distributed.rank()))
            image, label, prediction = trainer.forward(batch, self.network, self.prepare_batch)
            self.board.update(self.loss_function(prediction, label).mean().item(), prediction, label)
            if self.pictures is not None:
                self.pictures.collect(image, label, prediction)
        if self.pictures is not None:
            self.pictures.write()
        if seen == 0:
            raise ValueError("expected validation batches, found none; add validation cases, or set validator to null")
        values = self.board.compute()
        for text in self.board.alarms(values) if distributed.is_main() else ():
            print(f"medvol: warning: at step {trainer.state.step}, {text}", flush=True)
        return {f"val_{name}": value for name, value in values.items()}


class PretextEvaluator(SupervisedEvaluator):
    """Shows a :class:`PretextValidator` as the evaluator that MONAI's tools expect, such as its federated client.

    One iteration is the whole validation; its values stand in ``state.metrics`` as the validator names them.

    Args:
        trainer: tells the device, the precision and the inferer; it is not run.
        validator: what is run.
        val_handlers: as in MONAI.

    Example:
        >>> from medvol.engines import Trainer
        >>> net, batch = nn.Linear(2, 1), (torch.ones(4, 2), torch.zeros(4, 1))
        >>> trainer = Trainer("cpu", 1, [batch], net, torch.optim.SGD(net.parameters()), nn.MSELoss(), steps=1)
        >>> evaluator = PretextEvaluator(trainer, PretextValidator(net, [batch], nn.MSELoss()))
        >>> evaluator.run(); list(evaluator.state.metrics)
        ['val_loss']
    """

    def __init__(self, trainer: Trainer, validator: PretextValidator, val_handlers: Sequence[Any] = ()) -> None:
        super().__init__(
            device=trainer.state.device,
            val_data_loader=[{}],
            network=validator.network,
            val_handlers=list(val_handlers),
            decollate=False,
        )
        self.trainer, self.validator = trainer, validator

    def _iteration(self, engine: PretextEvaluator, batchdata: dict[str, Any]) -> dict[str, Any]:
        engine.state.metrics.update(self.validator.run(self.trainer))
        return {}


def _one_pass(loader: Any) -> int:
    """Number of batches that show as many examples as there are cases; all processes do as many."""
    dataset, stream = getattr(loader, "dataset", None), getattr(loader, "stream", None)
    if stream is not None and dataset is not None:
        return max(1, -(-len(dataset) // int(stream.batch_size)))
    try:
        return len(loader)
    except TypeError as error:
        raise ValueError(
            f"expected num_batches, found None for a loader without a length ({type(loader).__name__}); give a number"
        ) from error


def validate(validator: Any, trainer: Trainer) -> dict[str, float]:
    """Run a validator or a MONAI evaluator and return its numbers by name.

    Args:
        validator: has ``run(trainer) -> dict``; or a MONAI evaluator, whose scalar metrics become ``val_<name>``.
        trainer: the trainer it belongs to.

    Raises:
        TypeError: when the validator returns something else.
    """
    if isinstance(validator, Evaluator):
        validator.state.is_last_validation = trainer.state.step >= trainer.steps  # handlers may do more then
        validator.run(trainer.state.epoch)
        metrics = validator.state.metrics.items()
        found = {f"val_{k}": v for k, v in metrics if isinstance(v, (int, float)) or _is_scalar(v)}
    else:
        found = validator.run(trainer)
    if not isinstance(found, dict):
        raise TypeError(
            f"expected a dict of numbers from {type(validator).__name__}.run, found {type(found).__name__}; "
            "return for instance {'val_loss': 0.1}"
        )
    return {name: float(value) for name, value in found.items()}


def _is_scalar(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.numel() == 1
