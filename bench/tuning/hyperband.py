"""Ray Tune's HyperBand, mended where it never halves, ends too early, or waits for ever."""

import math
from typing import Any

from ray.tune.schedulers import HyperBandScheduler
from ray.tune.schedulers.hyperband import _Bracket


class Bracket(_Bracket):
    """A bracket that is filled once enough trials were added.

    Ray (2.60) counts those that have not ended: where a bracket is larger than the number of trials
    under way, new ones take the places of those that ended, and the next bracket, which would
    halve, never begins.
    """

    def filled(self) -> bool:
        return len(self._all_trials) >= self._n0


class HyperBand(HyperBandScheduler):
    """HyperBand (arXiv:1603.06560), only of brackets whose trials train for `grace` epochs or more.

    First milestones are rounded up, so that trials that no halving stops train for all `epochs`.
    Ray rounds down, and ends such trials after 18 of 20.
    """

    def __init__(self, epochs: int, grace: int, factor: int, **goal: Any):
        super().__init__(max_t=epochs, reduction_factor=factor, **goal)
        self._s_max_1 = min(self._s_max_1, 1 + int(math.log(epochs / grace, factor) + 1e-9))
        self._get_r0 = lambda s: -(-epochs // factor**s)

    def _create_bracket(self, s: int) -> Bracket:
        return Bracket(
            time_attr=self._time_attr,
            max_trials=self._get_n0(s),
            init_t_attr=self._get_r0(s),
            max_t_attr=self._max_t_attr,
            eta=self._eta,
            s=s,
        )

    def _process_bracket(self, tune_controller: Any, bracket: _Bracket) -> str:
        """Clears the mark that Ray sets on a bracket at its first halving, and never clears.

        When a trial of a marked bracket fails, Ray does not look at the bracket again: the trials
        that wait for that one at a later milestone would wait for ever.
        """
        try:
            return super()._process_bracket(tune_controller, bracket)
        finally:
            bracket.is_being_processed = False
