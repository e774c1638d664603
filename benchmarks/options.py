"""What the command line says, for every part."""

import dataclasses

import numba


@dataclasses.dataclass(frozen=True)
class Options:
    quick: bool = False
    rounds: int = 5
    threads: tuple[int, ...] = (1, 2)
    only: tuple[str, ...] = ()
    solvers: tuple[str, ...] = ()

    def wants_solver(self, name):
        """Whether to measure a solver, where a part has several."""
        return not self.solvers or name in self.solvers

    def wants(self, name):
        return not self.only or any(part in name for part in self.only)

    @property
    def settle(self):
        """Seconds before a timed fit: threads of the library that ran before spin for a while, on the same cores."""
        return 0.0 if self.quick else 0.2

    @property
    def n_threads(self):
        """For a part that is measured with one number of threads."""
        return max(self.threads)


def make_options(*, quick=False, rounds=5, threads=(1, 2), only=(), solvers=()):
    """Options within what this machine has."""
    most = numba.config.NUMBA_NUM_THREADS
    possible = sorted({min(n, most) for n in threads})[-1 if quick else 0 :]
    return Options(quick, 1 if quick else rounds, tuple(possible), tuple(only), tuple(solvers))
