"""Small networks with zeros put in by hand, so that the widths left can be counted on paper."""

import torch
from torch import nn
from torch.nn import functional as F


def zero_rows(layer, *rows, bias=None):
    """Make output channels constant: no weights, and the given bias (None: as it is)."""
    with torch.no_grad():
        layer.weight[list(rows)] = 0
        if bias is not None and layer.bias is not None:
            layer.bias[list(rows)] = bias


def zero_columns(layer, *columns):
    with torch.no_grad():
        layer.weight[:, list(columns)] = 0


def randomise(network):
    """Give normalisation layers statistics as if they had been trained."""
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.5)
                module.running_mean.normal_(0, 0.5)
                module.running_var.uniform_(0.5, 2)
    return network


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 20, 5), nn.Conv2d(20, 50, 5)
        self.fc1, self.fc2 = nn.Linear(800, 500), nn.Linear(500, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x), 2)
        x = F.max_pool2d(self.conv2(x), 2)
        return self.fc2(F.relu(self.fc1(x.view(x.shape[0], -1))))


class Residual(nn.Module):
    """y = head(relu(stem + branch)): stem and branch are one stream."""

    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.inner, self.outer = nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(6, 8, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.bn(self.stem(x)))
        x = F.relu(x + self.outer(F.relu(self.inner(x))), inplace=True)
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    """Two layers whose outputs lie side by side with their inputs."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.c, self.head = nn.Conv2d(8, 4, 3, padding=1), nn.Linear(12, 3)

    def forward(self, x):
        x = F.relu(self.a(x))
        x = torch.cat([x, F.relu(self.b(x))], 1)
        x = torch.cat([x, F.relu(self.c(x))], 1)
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Separable(nn.Module):
    def __init__(self, padding=1, normalised=True):
        super().__init__()
        self.expand = nn.Conv2d(3, 8, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=padding, groups=8)
        self.bn = nn.BatchNorm2d(8) if normalised else nn.Identity()
        self.project = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        x = F.hardswish(self.expand(x))
        return self.project(F.relu6(self.bn(self.depth(x))))


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.g, self.b = (
            nn.Conv2d(3, 8, 1),
            nn.Conv2d(8, 12, 3, groups=4),
            nn.Conv2d(12, 2, 1),
        )

    def forward(self, x):
        return self.b(torch.tanh(self.g(torch.tanh(self.a(x)))))


class SqueezeExcite(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 1)
        self.down, self.up = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x = F.silu(self.conv(x))
        gate = F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))
        return self.head(x * torch.sigmoid(self.up(gate)))


class Shuffle(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.d, self.b = (
            nn.Conv2d(3, 8, 1),
            nn.Conv2d(8, 8, 3, groups=8),
            nn.Conv2d(4, 2, 1),
        )

    def forward(self, x):
        x = torch.relu(self.d(self.a(x)))
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        left, right = x.chunk(2, dim=1)
        return self.b(left - right)


class Shared(nn.Module):
    """One layer applied twice in a row."""

    def __init__(self):
        super().__init__()
        self.first, self.twice, self.last = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 2)

    def forward(self, x):
        x = torch.tanh(self.first(x))
        return self.last(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


class Border(nn.Module):
    """A constant plane c ≠ 0 meets `middle`, which may see zeros around it."""

    def __init__(self, middle, constants=(0.7, -0.4, 1.3)):
        super().__init__()
        self.first, self.middle, self.last = nn.Conv2d(2, 6, 1), middle, nn.Conv2d(6, 3, 1)
        zero_rows(self.first, 0, 1, 2)
        with torch.no_grad():
            self.first.bias[:3] = torch.tensor(constants)

    def forward(self, x):
        return self.last(torch.tanh(self.middle(torch.tanh(self.first(x)))))


class Attention(nn.Module):
    """A transformer block: the stream is read whole, the hidden units are free."""

    def __init__(self):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        y = self.norm(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.norm(x))))


class PaddedShortcut(nn.Module):
    """A shortcut that subsamples and appends zero channels instead of projecting."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.a(x))
        x = torch.relu(F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)) + self.b(x))
        return self.head(x.mean((2, 3)))


class Lambda(nn.Module):
    """A network given by a function of itself and its inputs."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *inputs):
        return self.function(self, *inputs)
