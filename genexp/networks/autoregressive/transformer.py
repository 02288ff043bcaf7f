"""A causal transformer over the dimensions of the data (Chen et al., "Generative pretraining from pixels", ICML 2020), with
the blocks of GPT-2 (Radford et al., "Language models are unsupervised multitask learners", 2019)."""

from collections.abc import Sequence
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genexp.networks.autoregressive.base import AutoregressiveNetwork, Sampler, require_levels
from genexp.networks.blocks.base import Block
from genexp.ranges import at_least, inside


class TransformerBlock(Block):
    """h + attention(norm(h)), then h + mlp(norm(h)), with dropout before each sum and on the attention.

    Args:
        width: size E of the representation of a position.
        heads: number of heads, which divide the width.
        hidden: width of the layer in the middle of the perceptron.
        dropout: probability of leaving out, in [0, 1).
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        """Queries, keys and values of all heads, side by side."""
        self.mix = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)

    def forward(self, h: Tensor) -> Tensor:
        """h ``(B, D, E)`` -> ``(B, D, E)``; position d sees those up to d."""
        dropout = self.dropout if self.training else 0.0
        q, k, v = self.qkv(self.attention_norm(h)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        h = h + F.dropout(self.mix(seen.transpose(1, 2).flatten(2)), dropout)
        return h + F.dropout(self.contract(F.gelu(self.expand(self.mlp_norm(h)))), dropout)


class Transformer(AutoregressiveNetwork):
    """Decoder-only transformer in raster order, pixel by pixel and channel by channel, for discrete data of any shape.

    The input of position d is the embedding of the level before it, or in the first position that of the label, plus an
    embedding of the position; both are learned. The last representation is normalised and mapped to the parameters of
    dimension d. Weights are drawn from N(0, 0.02^2), those that enter the residual sums with 1 / sqrt(2 depth) of this
    deviation, as in GPT-2. Differences from the paper: GELU in place of its approximation x sigmoid(1.702 x), biases as
    in GPT-2, levels in place of clusters of colours, output weights that do not start at zero, and any observation
    model.

    Args:
        shape: shape of one example.
        num_params: parameters per dimension.
        num_classes: number of labels; 0 for an unconditional network. Every label has a start token of its own.
        levels: number of levels, at least 2; each has an embedding.
        depth: number of blocks, at least 1.
        heads: heads of each block, at least 1.
        width: size of a representation, a multiple of ``heads``.
        mlp_ratio: width of the hidden layer of a perceptron, in multiples of ``width``; positive.
        dropout: probability of leaving out, of embeddings, attention and what enters the residual sums; in [0, 1).

    Raises:
        ValueError: an argument is out of range, or the data are continuous.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        num_params: int,
        num_classes: int,
        levels: int | None,
        depth: int,
        heads: int,
        width: int,
        mlp_ratio: float,
        dropout: float,
    ) -> None:
        super().__init__(shape, num_params, levels)
        if require_levels(levels, "Transformer") < 2:
            raise ValueError(f"levels={levels}: Transformer embeds levels, at least 2")
        at_least(1, depth=depth)
        if heads < 1 or width < 1 or width % heads:
            raise ValueError(f"heads={heads}: must be at least 1 and divide width={width}")
        if not mlp_ratio > 0 or round(mlp_ratio * width) < 1:
            raise ValueError(f"mlp_ratio={mlp_ratio}: mlp_ratio * width must be at least 1")
        inside(0, 1, ends="[)", dropout=dropout)
        self.num_classes, self.dropout = num_classes, dropout
        self.start = nn.Embedding(max(num_classes, 1), width)
        self.embedding = nn.Embedding(levels, width)
        self.position = nn.Embedding(self.dims, width)
        hidden = round(mlp_ratio * width)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_params)
        sequence = self.permutation()
        self.register_buffer("sequence", sequence, persistent=False)
        self.register_buffer("places", sequence.argsort(), persistent=False)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for block in self.blocks:
            for layer in (block.mix, block.contract):
                nn.init.normal_(layer.weight, std=0.02 / sqrt(2 * len(self.blocks)))

    def indices(self, x: Tensor) -> Tensor:
        """The level of each x in [0, 1]: int64 of the same shape."""
        return (x * (self.levels - 1)).round().long()

    def first(self, n: int, y: Tensor | None) -> Tensor:
        """The start tokens of ``n`` examples: ``(n, E)``."""
        if self.num_classes == 0:
            return self.start.weight.expand(n, -1)
        return self.start(y)

    def forward(self, x: Tensor, y: Tensor | None = None, order: int = 0) -> Tensor:
        before = self.embedding(self.indices(x.flatten(1)[:, self.sequence]))[:, :-1]
        h = torch.cat([self.first(len(x), y).unsqueeze(1), before], dim=1) + self.position.weight
        h = F.dropout(h, self.dropout, self.training)
        for block in self.blocks:
            h = block(h)
        params = self.head(self.norm(h))
        return params[:, self.places].transpose(1, 2).unflatten(2, self.shape)

    def sampler(self, n: int, y: Tensor | None, order: int = 0) -> Sampler:
        return TransformerSampler(self, n, y)


class TransformerSampler:
    """Sampling without recomputation: each block keeps the keys and values of the positions so far.

    A step multiplies every weight with the present position only, and every head attends with one query. The cache of a
    block, ``(2, n * heads, D, E / heads)``, is written in one copy and read as it lies by two batched products.
    """

    def __init__(self, network: Transformer, n: int, y: Tensor | None) -> None:
        self.network, self.n = network, n
        self.start = network.first(n, y)
        self.position = network.position.weight
        self.blocks = [BlockStep(block, n, network.dims) for block in network.blocks]
        self.norm = (network.norm.weight, network.norm.bias)
        self.head = (network.head.bias, network.head.weight.t())

    def __call__(self, canvas: Tensor, t: int) -> Tensor:
        before = self.network.embedding(self.network.indices(canvas[:, t - 1])) if t > 0 else self.start
        h = before + self.position[t]
        for block in self.blocks:
            h = block(h, t)
        bias, weight = self.head
        return torch.addmm(bias, F.layer_norm(h, h.shape[1:], *self.norm), weight)


class BlockStep:
    """One position after another of a block, for ``n`` examples of ``dims`` positions."""

    def __init__(self, block: TransformerBlock, n: int, dims: int) -> None:
        width, heads = block.qkv.in_features, block.heads
        scale = block.qkv.weight.new_ones(3, 1, 1)
        scale[0] = (width // heads) ** -0.5  # that of the attention
        self.qkv_weight = (block.qkv.weight.view(3, width, width).transpose(1, 2) * scale).contiguous()
        self.qkv_bias = block.qkv.bias.view(3, 1, width) * scale
        self.several = (3, n, width)
        self.rows = (3, n * heads, 1, width // heads)
        self.cache = self.qkv_weight.new_empty(2, n * heads, dims, width // heads)
        self.keys, self.values = self.cache[0].transpose(1, 2), self.cache[1]
        self.attention_norm = (block.attention_norm.weight, block.attention_norm.bias)
        self.mlp_norm = (block.mlp_norm.weight, block.mlp_norm.bias)
        self.mix = (block.mix.bias, block.mix.weight.t().contiguous())
        self.expand = (block.expand.bias, block.expand.weight.t().contiguous())
        self.contract = (block.contract.bias, block.contract.weight.t().contiguous())

    def __call__(self, h: Tensor, t: int) -> Tensor:
        """h ``(n, E)`` of position t -> ``(n, E)``."""
        shape = h.shape[1:]
        normed = F.layer_norm(h, shape, *self.attention_norm)
        qkv = torch.baddbmm(self.qkv_bias, normed.expand(self.several), self.qkv_weight).view(self.rows)
        self.cache[:, :, t] = qkv[1:, :, 0]
        weights = torch.bmm(qkv[0], self.keys[:, :, : t + 1]).softmax(2)
        seen = torch.bmm(weights, self.values[:, : t + 1]).view(h.shape)
        bias, weight = self.mix
        h = torch.addmm(h, seen, weight).add_(bias)
        bias, weight = self.expand
        hidden = F.gelu(torch.addmm(bias, F.layer_norm(h, shape, *self.mlp_norm), weight))
        bias, weight = self.contract
        return torch.addmm(h, hidden, weight).add_(bias)
