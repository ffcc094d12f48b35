"""Steps as CUDA graphs: a GPU gets all kernels of a step at one launch.

A step has some hundred small kernels, which a large GPU computes faster than Python launches them.
A graph is that list of kernels, recorded once and launched as a whole. It computes the same bits.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

WARM_UP_STEPS = 3  # of each kind, not recorded: CUDA's libraries set themselves up in them


class Graphs:
    """The graphs of one model's steps, one for each kind of step and shape of batch.

    `rng` is what the steps draw from, besides CUDA's own generator.
    """

    def __init__(self, rng: torch.Generator):
        self.rng = rng
        self.counts: Counter[Hashable] = Counter()
        self.recorded: dict[Hashable, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self.stream = torch.cuda.Stream()  # CUDA records none of the default stream

    @contextmanager
    def on_own_stream(self) -> Iterator[None]:
        """Runs the block's kernels on their own stream, in order with those before and after."""
        outer = torch.cuda.current_stream()
        self.stream.wait_stream(outer)
        with torch.cuda.stream(self.stream):
            yield
        outer.wait_stream(self.stream)

    def run(self, kind: Hashable, step: Callable[[Tensor], None], x: Tensor) -> None:
        """One step on a batch (B, C, H, W); steps of one `kind` call the same kernels.

        `step` changes the same tensors in place at each call, and reads no value from the GPU.
        """
        kind = kind, x.shape
        if kind not in self.recorded:
            self.counts[kind] += 1
            if self.counts[kind] <= WARM_UP_STEPS:
                step(x)
                return
            graph, batch = torch.cuda.CUDAGraph(), x.clone()
            graph.register_generator_state(self.rng)
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                step(batch)
            self.recorded[kind] = graph, batch
        graph, batch = self.recorded[kind]
        batch.copy_(x)
        graph.replay()


def replayed(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The same step, which a GPU records after its first calls and then replays (see `Graphs.run`).

    `step` must draw no random numbers.
    """
    if device.type != "cuda":
        return step
    graphs, no_batch = Graphs(torch.Generator(device)), torch.empty(0, device=device)

    def run() -> None:
        with graphs.on_own_stream():
            graphs.run("step", lambda _: step(), no_batch)

    return run
