"""What a model takes from its training data before the first step: means and scales, say."""

from genexp.probability.randomness import keyed_draws
from genexp.record.errors import ConfigError
from genexp.runs.assemble import Assembled


def initialise(run: Assembled, seed: int) -> None:
    """Let the model of a run that begins look at the training examples that it asks for; see
    :meth:`genexp.families.base.GenerativeModule.initialise`. Examples and draws are functions of the seed, so that all processes
    do the same.

    Args:
        run: its parts; the data are set up.
        seed: of the run.

    Raises:
        ConfigError: the model can make nothing of these data.
    """
    model, data = run.model, run.data
    wanted = data.size("train") if model.initial_examples is None else model.initial_examples
    if wanted == 0:
        return
    with model.evaluating(), keyed_draws(model.device, seed, "initialise"):
        try:
            model.initialise(*data.examples("train", wanted, seed))
        except ValueError as error:
            raise ConfigError(f"data={data.name}: {error}") from error
