"""Spectral normalisation of a network."""

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def normalise_spectrally(network: nn.Module) -> None:
    """Divide the weight W of every linear and convolutional layer, as a matrix ``(outputs, all else)``, by its largest singular
    value (Miyato, Kataoka, Koyama, Yoshida, "Spectral normalization for generative adversarial networks", ICLR 2018, equation 8
    and algorithm 1): that is followed by one power iteration in every forward pass in training mode. The network must have
    its initial weights already."""
    for layer in [part for part in network.modules() if isinstance(part, nn.Linear | nn.Conv2d)]:
        spectral_norm(layer)
