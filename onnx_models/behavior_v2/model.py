"""The behaviour encoder in torch: three bodies that were compared, an embedding, and forecasts from it and an age."""

import math

import torch
from tokens import HORIZONS
from torch import nn

QUANTITIES = ("order_probability", "expected_orders", "expected_spend")
DIMENSIONS = 64
TYPES = 8
LENGTH = 64


class RecurrentBody(nn.Module):
    """Two GRU layers."""

    def __init__(self, columns: int, width: int = 64) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Linear(columns, width)
        self.gru = nn.GRU(width, width, num_layers=2, batch_first=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the state after every token, (batch, length, width)."""
        states, _ = self.gru(nn.functional.gelu(self.enter(tokens)))
        return states


class ConvolutionalBody(nn.Module):
    """Four causal convolutions of three taps, 1, 3, 9 and 18 tokens apart: the last one sees 63 tokens."""

    def __init__(self, columns: int, width: int = 64, spacings: tuple[int, ...] = (1, 3, 9, 18)) -> None:
        super().__init__()
        self.width = width
        self.enter = nn.Linear(columns, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in spacings])
        self.layers = nn.ModuleList([nn.Conv1d(width, width, 3, dilation=spacing) for spacing in spacings])
        self.spacings = spacings

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the state after every token, (batch, length, width)."""
        states = nn.functional.gelu(self.enter(tokens))
        for norm, layer, spacing in zip(self.norms, self.layers, self.spacings, strict=True):
            before = nn.functional.pad(norm(states).transpose(1, 2), (2 * spacing, 0))
            states = states + nn.functional.gelu(layer(before)).transpose(1, 2)
        return states


class AttentiveBody(nn.Module):
    """Two Transformer layers of four heads, in which a token attends to itself and those before it."""

    def __init__(self, columns: int, width: int = 64, inner: int = 64, heads: int = 4) -> None:
        super().__init__()
        self.width, self.heads = width, heads
        self.enter = nn.Linear(columns, width)
        self.place = nn.Parameter(0.02 * torch.randn(LENGTH, width))
        self.mixes = nn.ModuleList([nn.Linear(width, 3 * width) for _ in range(2)])
        self.joins = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.inner = nn.ModuleList(
            [nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width)) for _ in range(2)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(5)])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the state after every token, (batch, length, width)."""
        place = torch.arange(tokens.shape[1], device=tokens.device)
        later = (place[None, :] > place[:, None]).to(tokens.dtype) * -1e9
        states = self.enter(tokens) + self.place[place]
        for layer in range(2):
            mixed = self.mixes[layer](self.norms[2 * layer](states))
            asked, kept, told = (
                part.unflatten(2, (self.heads, self.width // self.heads)).transpose(1, 2)
                for part in mixed.split(self.width, dim=2)
            )
            weight = asked @ kept.transpose(2, 3) / math.sqrt(self.width // self.heads) + later
            seen = (torch.softmax(weight, dim=3) @ told).transpose(1, 2).flatten(2)
            states = states + self.joins[layer](seen)
            states = states + self.inner[layer](self.norms[2 * layer + 1](states))
        return self.norms[4](states)


BODIES = {"gru": RecurrentBody, "transformer": AttentiveBody, "cnn": ConvolutionalBody}


class BehaviorEncoder(nn.Module):
    """A body over a user's tokens; its state at the last real one becomes an embedding of length 1."""

    def __init__(self, columns: int, body: str = "gru") -> None:
        super().__init__()
        self.body = BODIES[body](columns)
        self.leave = nn.Linear(self.body.width, DIMENSIONS)

    def embedding(self, states: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the embedding at the last real token."""
        place = torch.arange(states.shape[1], device=states.device)
        is_last = (place[None, :] == (lengths - 1)[:, None]).to(states.dtype)
        return nn.functional.normalize(self.leave((states * is_last[:, :, None]).sum(dim=1)), dim=1)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the embeddings (batch, dimensions) of right-padded tokens (batch, length, columns)."""
        return self.embedding(self.body(tokens), lengths)


class Forecaster(nn.Module):
    """Foretells orders and spend from an embedding and the days since the user's last token.

    What is foretold grows with the horizon by its making: each figure is a sum of parts that are not negative.
    """

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(DIMENSIONS + 3, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU())
        self.deep_out = nn.Linear(64, 5 * len(HORIZONS))
        self.flat = nn.Linear(DIMENSIONS + 3, 5 * len(HORIZONS))
        nn.init.constant_(self.flat.bias.data.view(5, -1)[3:], -1.5)

    def parts(self, embedding: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Return (batch, 5, horizons) raw figures: hazard, log count, log spend, and the parts of count and spend."""
        idle = torch.log1p(age)[:, None]
        bends = [idle, nn.functional.relu(idle - 2.0), nn.functional.relu(idle - 4.0)]
        known = torch.cat([embedding * math.sqrt(DIMENSIONS), *bends], dim=1)
        return (self.deep_out(self.deep(known)) + self.flat(known)).unflatten(1, (5, len(HORIZONS)))

    @staticmethod
    def hazard(parts: torch.Tensor) -> torch.Tensor:
        """Return (batch, horizons): minus the log of the probability of no order."""
        return torch.cumsum(nn.functional.softplus(parts[:, 0]), dim=1).clamp(min=1e-6)

    @staticmethod
    def means(parts: torch.Tensor) -> torch.Tensor:
        """Return (batch, 2, horizons): expected orders, and expected spend over the shop's median order."""
        return torch.cumsum(torch.exp(parts[:, 3:].clamp(max=8.0)), dim=2)

    def forward(self, embedding: torch.Tensor, age: torch.Tensor) -> torch.Tensor:
        """Return (batch, horizons, quantities)."""
        parts = self.parts(embedding, age)
        chance = 1.0 - torch.exp(-self.hazard(parts))
        return torch.cat([chance[:, None], self.means(parts)], dim=1).transpose(1, 2)


class EncoderWithForecasts(nn.Module):
    """What is exported: both answers at once."""

    def __init__(self, encoder: BehaviorEncoder, forecaster: Forecaster) -> None:
        super().__init__()
        self.encoder, self.forecaster = encoder, forecaster

    def forward(
        self, tokens: torch.Tensor, lengths: torch.Tensor, age: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings (batch, dimensions) and forecasts (batch, horizons, quantities)."""
        embedding = self.encoder(tokens, lengths)
        return embedding, self.forecaster(embedding, age)


class NextToken(nn.Module):
    """Foretells the type of the next token and the time until then; used in training only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kind = nn.Linear(width, TYPES)
        self.gap = nn.Linear(width, 1)
