"""Every combination of the values."""

from itertools import product

from hydra.core.override_parser.types import Override

from genexp.record.errors import ConfigError
from genexp.sweeps.sweeper import PlannedSweeper


class GridSweeper(PlannedSweeper):
    """The Cartesian product of choices, ranges and globs, the last key varying fastest."""

    def search(self, swept: dict[str, Override]) -> None:
        for key, override in swept.items():
            if not override.is_discrete_sweep():
                raise ConfigError(
                    f"{override.input_line}: a grid needs values, not an interval; hydra/sweeper=random draws {key}"
                )
        values = [[f"{key}={value}" for value in override.sweep_string_iterator()] for key, override in swept.items()]
        self.run(list(product(*values)))
