"""The one trainer: MONAI's ``SupervisedTrainer`` with a clock in optimizer steps and a complete optimizer step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer, Workflow
from monai.engines.utils import IterationEvents, default_metric_cmp_fn, default_prepare_batch
from monai.inferers import Inferer
from monai.transforms import Transform
from monai.utils.enums import CommonKeys as Keys
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from medvol import distributed
from medvol.engines.clock import derive_seed, group_micro_batches, num_epochs
from medvol.engines.events import StepEvents
from medvol.engines.outputs import unpack_single_outputs
from medvol.engines.precision import as_float32, as_plain, autocast_dtype, detached, forward_precision
from medvol.engines.stepping import OptimizerStep, distribute
from medvol.engines.supply import refuse_dry_loader, start_at

if TYPE_CHECKING:
    from ignite.metrics import Metric

    from medvol.engines.schedules import FrozenWarmup


class Trainer(SupervisedTrainer):
    """Trains with ``loss(network(*inputs), label)``, counted in optimizer steps, reproducible from every step.

    One ignite iteration is one micro-batch. After the last micro-batch of a group: unscale, drop the gradients of what
    is frozen, clip, fire ``GRADIENTS_READY``, step the optimizer and the schedule, count, fire ``OPTIMIZER_STEPPED``.

    *Clock.* ``state.step`` counts finished optimizer steps, ``state.iteration`` micro-batches taken from the loader,
    ``state.examples`` examples seen by all processes together, ``state.skipped`` the steps an fp16 scaler refused. A
    refused step uses up its micro-batches but does not count, so the training takes that many groups more and ends, in
    every case, exactly at ``steps``. An epoch is ``steps_per_epoch`` groups; the last one may be shorter.

    *Random numbers.* Torch's generators are seeded before every micro-batch from (seed, micro-batch number, rank).
    No generator state needs storing: :meth:`load_clock` alone makes a continued training equal to an uninterrupted one.

    *Rounds.* When ``state.max_epochs`` is set lower than the plan before :meth:`run`, as MONAI's federated client does,
    the trainer :attr:`pauses` after that many epochs, and the next :meth:`run` goes on where it stood, with the weights
    that the network has by then. Schedule, stream and ``steps`` count over all rounds.

    *Several processes.* Under ``torchrun`` the network is wrapped in ``DistributedDataParallel`` without broadcasting
    buffers; ``unwrapped`` is the bare network. Every process must get equally many examples per micro-batch.

    Args:
        device: where to train.
        max_epochs: must be ``num_epochs(steps, steps_per_epoch)``; it stands here because MONAI's tools look for it. A
            tool that sets it to the epochs of one round must set ``state.max_epochs`` before every :meth:`run`.
        train_data_loader: batches without end, as ``medvol.data.stream_loader`` makes; a finite loader starts anew.
        network: gets the prepared inputs, returns a tensor or a tuple of tensors; is moved to ``device``.
        optimizer: holds the parameters that learn.
        loss_function: ``loss(prediction, label)``, called in float32 outside of autocast; modules are moved.
        steps: optimizer steps of the whole training.
        steps_per_epoch: optimizer steps of one epoch; ``None`` is one pass over a finite loader.
        seed: of the random numbers drawn inside of network and loss.
        prepare_batch: makes ``(inputs, label)`` or ``(inputs, label, args, kwargs)`` out of a batch.
        inferer: calls the network; MONAI's ``SimpleInferer`` by default.
        precision: see :func:`medvol.engines.precision.autocast_dtype`.
        clip_norm: upper bound of the norm of all gradients together; ``None`` does not clip.
        accumulation_steps: micro-batches per optimizer step.
        lr_scheduler: stepped after every counted optimizer step.
        freeze: what is frozen at first.
        train_handlers: attached in this order when the trainer is complete.
        key_train_metric: as in MONAI, like the rest.
        additional_metrics: more ignite metrics.
        metric_cmp_fn: whether a new value of the key metric is better.
        postprocessing: of the output; it sees whole batches, nothing is decollated.
        non_blocking: copies to the device run beside the host.

    Raises:
        ValueError: when a count is smaller than 1, the loader is empty, or ``max_epochs`` does not match.

    Example:
        >>> net = nn.Linear(2, 1)
        >>> trainer = Trainer("cpu", 2, [(torch.ones(4, 2), torch.zeros(4, 1))], net,
        ...                   torch.optim.SGD(net.parameters(), lr=0.1), nn.MSELoss(), steps=3, steps_per_epoch=2)
        >>> trainer.run()
        >>> trainer.state.step, trainer.state.examples, trainer.state.epoch
        (3, 12, 2)
    """

    def __init__(
        self,
        device: str | torch.device,
        max_epochs: int,
        train_data_loader: Iterable,
        network: nn.Module,
        optimizer: Optimizer,
        loss_function: Callable[..., torch.Tensor],
        steps: int,
        steps_per_epoch: int | None = None,
        seed: int = 0,
        prepare_batch: Callable = default_prepare_batch,
        inferer: Inferer | None = None,
        precision: str = "auto",
        clip_norm: float | None = None,
        accumulation_steps: int = 1,
        lr_scheduler: LRScheduler | None = None,
        freeze: FrozenWarmup | None = None,
        train_handlers: Sequence[Any] | None = None,
        key_train_metric: dict[str, Metric] | None = None,
        additional_metrics: dict[str, Metric] | None = None,
        metric_cmp_fn: Callable = default_metric_cmp_fn,
        postprocessing: Transform | None = None,
        non_blocking: bool = False,
    ) -> None:
        self.grouping = group_micro_batches(train_data_loader, steps_per_epoch, accumulation_steps)
        self._planned_epochs = num_epochs(steps, self.grouping.groups_per_epoch)
        self._expects_rounds = max_epochs != self._planned_epochs
        if not 1 <= max_epochs <= self._planned_epochs:
            _refuse_epochs(self._planned_epochs, steps, self.grouping.groups_per_epoch, max_epochs)
        if isinstance(lr_scheduler, ReduceLROnPlateau):
            raise ValueError("expected a schedule in steps, found ReduceLROnPlateau; use medvol.engines.WarmupCosine")
        device = torch.device(device)
        self.autocast_dtype = autocast_dtype(precision, device)
        self.unwrapped = network.to(device)
        if isinstance(loss_function, nn.Module):
            loss_function.to(device)
        super().__init__(
            device=device,
            max_epochs=self._planned_epochs,
            train_data_loader=train_data_loader,
            network=distribute(network, device),
            optimizer=optimizer,
            loss_function=loss_function,
            epoch_length=self.grouping.epoch_length,
            non_blocking=non_blocking,
            prepare_batch=prepare_batch,
            inferer=inferer,
            postprocessing=postprocessing,
            key_train_metric=key_train_metric,
            additional_metrics=additional_metrics,
            metric_cmp_fn=metric_cmp_fn,
            event_names=[StepEvents],
            decollate=False,
            accumulation_steps=accumulation_steps,
        )
        # MONAI makes a new scaler in every run() and never saves it; ours lives as long as the trainer.
        self.scaler = torch.amp.GradScaler(device.type) if self.autocast_dtype is torch.float16 else None
        self.optimizer_step = OptimizerStep(optimizer, loss_function, self.scaler, clip_norm, freeze)
        self.lr_scheduler = lr_scheduler
        self.freeze = freeze
        self.steps = steps
        self.seed = seed
        self.failure: BaseException | None = None
        self._closed_epoch = 0
        for name in ("step", "examples", "skipped"):
            setattr(self.state, name, 0)
        self.state.stepped = False
        self.state.gradient_norm = 0.0
        self.add_event_handler(Events.DATALOADER_STOP_ITERATION, self._require_data)
        self.add_event_handler(Events.COMPLETED, self._require_all_steps)
        self.add_event_handler(Events.TERMINATE, self._complete_last_epoch)
        # Only now is the trainer complete; MONAI would attach handlers to one that has no network yet.
        self.handlers = list(train_handlers or ())
        for handler in self.handlers:
            unpack_single_outputs(handler)
        self._register_handlers(self.handlers)
        self.add_event_handler(Events.EPOCH_COMPLETED, self._note_closed_epoch)

    def run(self) -> None:
        """Train up to ``steps``, or to the end of the round; returns at once when they are done.

        Raises:
            ValueError: when ``max_epochs`` was neither the plan nor a round, or a round begins after the last step.
            ValueError: when the loader gives no more data before the end, or cannot be continued from here.
            FloatingPointError: when the loss or the gradients are not finite.
        """
        if self.state.step >= self.steps:
            self._refuse_more_rounds()
            return
        if self._expects_rounds and self.state.iteration == 0 and self.state.max_epochs == self._planned_epochs:
            _refuse_epochs(self._planned_epochs, self.steps, self.grouping.groups_per_epoch, None)
        try:
            start_at(self.data_loader, self.state.iteration)
            Workflow.run(self)  # not MONAI's Trainer.run, which would replace the scaler
        except BaseException as error:
            self.failure = error
            self.fire_event(StepEvents.RUN_FAILED)
            raise

    @property
    def pauses(self) -> bool:
        """Whether the epochs that were asked for are done, and steps are left for another round."""
        done = self.state.iteration >= self.state.max_epochs * self.grouping.epoch_length
        return done and self.state.step < self.steps

    def clock(self) -> dict[str, int]:
        """Return what :meth:`load_clock` needs to continue; only valid after a counted step."""
        return {name: int(getattr(self.state, name)) for name in ("step", "iteration", "examples", "skipped")}

    def load_clock(self, clock: dict[str, int]) -> None:
        """Continue from a stored :meth:`clock`, in the middle of an epoch, too; call before or at ``Events.STARTED``.

        Raises:
            ValueError: when the loader cannot start in the middle.
        """
        for name, value in clock.items():
            setattr(self.state, name, value)
        self._extend_epochs()
        # ignite starts the next epoch from here and takes the place in it from `iteration % epoch_length`.
        self.state.epoch = self.state.iteration // self.grouping.epoch_length
        if self.state.step >= self.steps:
            self.state.epoch = self.state.max_epochs
        self._closed_epoch = self.state.epoch
        if self.state.step < self.steps:
            start_at(self.data_loader, self.state.iteration)

    def forward(
        self, batch: Any, network: nn.Module | None = None, prepare_batch: Callable | None = None
    ) -> tuple[Any, torch.Tensor | None, Any]:
        """Call a network on a batch as in training: in the chosen precision, through the inferer.

        Args:
            batch: what a loader yields.
            network: another one than the trained one.
            prepare_batch: another one than the trainer's.

        Returns:
            ``(inputs, label, prediction)``: plain tensors on the device, the prediction in float32.
        """
        prepared = (prepare_batch or self.prepare_batch)(batch, self.state.device, self.non_blocking, **self.to_kwargs)
        inputs, label, args, kwargs = as_plain((*prepared, (), {})[:4])
        with forward_precision(self.state.device, self.autocast_dtype):
            prediction = self.inferer(inputs, self.network if network is None else network, *args, **kwargs)
        return inputs, label, as_plain(as_float32(prediction))

    def _iteration(self, engine: Trainer, batchdata: Any) -> dict[str, Any]:
        micro_batch = self.state.iteration
        opens, closes = self.grouping.opens(micro_batch), self.grouping.closes(micro_batch)
        torch.manual_seed(derive_seed(self.seed, micro_batch, distributed.rank()))
        self._set_modes()
        if opens:
            self.optimizer.zero_grad(set_to_none=True)
        with nullcontext() if closes else self._without_sync():
            output = self._accumulate(batchdata, self.grouping.size(micro_batch))
        self.state.stepped = self._step() if closes else False
        self.state.output = output
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        if self.state.step >= self.steps:
            self.terminate()
        return self.state.output

    def _accumulate(self, batchdata: Any, group_size: int) -> dict[str, Any]:
        """Add the gradients of one micro-batch, and return what it gave, without the graph."""
        inputs, label, prediction = self.forward(batchdata)
        output = self.state.output = {Keys.IMAGE: inputs, Keys.LABEL: label, Keys.PRED: prediction}
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        loss = output[Keys.LOSS] = as_plain(self.loss_function(prediction, label)).mean()
        self.fire_event(IterationEvents.LOSS_COMPLETED)
        if not math.isfinite(loss.item()):
            self._refuse_loss(loss.item())
        loss = loss / group_size
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        self.state.examples += len(inputs) * distributed.world_size()
        return detached(output)

    def _step(self) -> bool:
        """Make one optimizer step out of the gradients, and count it; whether it was made."""
        if not self.optimizer_step.prepare(self.state.step):
            self.state.skipped += 1
            self._extend_epochs()
            return False
        self.state.gradient_norm = self.optimizer_step.norm
        self.fire_event(StepEvents.GRADIENTS_READY)
        self.optimizer_step.make()
        if self.lr_scheduler is not None:
            self.lr_scheduler.step()
        self.state.step += 1
        self.fire_event(StepEvents.OPTIMIZER_STEPPED)
        return True

    def _set_modes(self) -> None:
        self.network.train()
        if isinstance(self.loss_function, nn.Module):
            self.loss_function.train()
        if self.freeze is not None and self.freeze.active(self.state.step):
            self.freeze.set_modes()

    def _without_sync(self) -> AbstractContextManager:
        wrapped = isinstance(self.network, DistributedDataParallel)
        return self.network.no_sync() if wrapped else nullcontext()

    def _extend_epochs(self) -> None:
        needed = math.ceil(self.grouping.micro_batches(self.steps + self.state.skipped) / self.grouping.epoch_length)
        if self.state.max_epochs >= self._planned_epochs:  # only a round that would end the plan grows with it
            self.state.max_epochs = max(self.state.max_epochs, needed)
        self._planned_epochs = max(self._planned_epochs, needed)

    def _complete_last_epoch(self) -> None:
        # terminate() ends the run at the exact step, but leaves out the completion of the epoch.
        if self.state.step >= self.steps and self._closed_epoch < self.state.epoch:
            self.fire_event(Events.EPOCH_COMPLETED)

    def _note_closed_epoch(self) -> None:
        self._closed_epoch = self.state.epoch

    def _require_data(self) -> None:
        if self.state.iteration == 0:
            refuse_dry_loader(self.state.step, self.steps)

    def _require_all_steps(self) -> None:
        # First of the handlers of COMPLETED: nobody must take a training without data for a finished one.
        if self.state.step < self.steps and not self.should_terminate and not self.pauses:
            refuse_dry_loader(self.state.step, self.steps)

    def _refuse_more_rounds(self) -> None:
        if self.state.max_epochs > self.state.epoch:
            raise ValueError(
                f"expected a round within the {self.steps} steps of the plan, found that all of them are done; "
                "set 'steps' to rounds x epochs of a round x steps_per_epoch"
            )

    def _refuse_loss(self, value: float) -> None:
        rate = self.optimizer.param_groups[0]["lr"]
        raise FloatingPointError(
            f"expected a finite loss, found {value} in the step after step {self.state.step} (learning rate {rate:g}); "
            "look for non-finite inputs, lower the learning rate, set clip_norm, or use precision 'fp32'"
        )


def _refuse_epochs(planned: int, steps: int, steps_per_epoch: int, found: int | None) -> NoReturn:
    what = "fewer, and no round" if found is None else found
    raise ValueError(
        f"expected max_epochs {planned} for {steps} steps, {steps_per_epoch} per epoch, found {what}; "
        "set 'steps', and max_epochs to $medvol.engines.num_epochs(@steps, @steps_per_epoch)"
    )
