"""Every strategy of ours passes the suite that Optuna's own samplers pass."""

from collections.abc import Callable

import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

from greensweep.search.samplers import (
    ExpectedImprovementPerJouleSampler,
    MultiFidelitySampler,
    PaperGpSampler,
    ScaledTPESampler,
)
from greensweep.search.samplers.deduplicating import DeduplicatingSampler, TakenPoints
from greensweep.search.space import Space

Make = Callable[[], BaseSampler]

# Of each pair of six kinds of ranges.
pytest.mark.slow(BasicSamplerTestCase.test_combination_of_different_distributions_objective)
pytest.mark.slow(RelativeSamplerTestCase.test_sample_relative_numerical)


class TestEiPerJoule(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: ExpectedImprovementPerJouleSampler(n_startup_trials=1)


class TestMultiFidelity(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: MultiFidelitySampler(fidelities=1, n_startup_trials=1)


class TestPaperGp(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return PaperGpSampler


class TestScaledTpe(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self) -> Make:
        return lambda: ScaledTPESampler(n_startup_trials=0)


class TestUntried(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    """It draws options together of its own space alone: others as the strategy that it wraps."""

    @pytest.fixture
    def sampler(self) -> Make:
        def make() -> BaseSampler:
            space = Space({})
            return DeduplicatingSampler(
                TPESampler(n_startup_trials=0), space, TakenPoints(space), [0]
            )

        return make
