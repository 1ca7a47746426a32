import math

import pytest
import torch
from torch import nn

from tl1bench import models, neurons, penalties, training
from tl1bench.config import Budget, Decay
from tl1bench.errors import ConfigError, Tl1benchError
from tl1bench.optimizers import ProximalSGD
from tl1bench.training import loop

BUDGET = Budget(batch=16, epochs=10, debias_epochs=5, lr=0.4, debias_lr=0.2, ramp=0.5)


def examples(n: int = 256, seed: int = 0) -> training.Examples:
    """Return points of a linear problem: the class is the sign of the first coordinate."""
    x = torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))
    return training.Examples(x, (x[:, 0] > 0).long(), 1.0)


def run(
    budget: Budget = BUDGET, lam: float = 1e-2, seed: int = 0, model: nn.Module | None = None
) -> training.Trained:
    model = model or models.build("mlp", (6,), 2, seed=seed, hidden=[16, 8])
    penalty = penalties.load("sparse_group_lasso", lam=lam)

    def make(network: nn.Module, found: neurons.Anatomy) -> ProximalSGD:
        return ProximalSGD(network, penalty, lr=budget.lr, groups=found.groups)

    anatomy = neurons.Anatomy.of(model, torch.zeros(2, 6), "outgoing")
    return training.train(
        model, make, anatomy, examples(), examples(seed=1), budget, seed, clock=lambda: 0.0
    )


def test_the_schedule_holds_falls_and_ends_at_zero() -> None:
    schedule = training.Schedule(BUDGET, 10)
    assert (schedule.penalised, schedule.debias, schedule.total) == (100, 50, 150)
    assert [schedule.lr(t) for t in (0, 50)] == [0.4, 0.4]
    assert schedule.lr(75) == pytest.approx(0.4 * (1 - 0.5 * 0.9))
    assert schedule.lr(100) == 0.2
    assert 0 < schedule.lr(149) < 0.2 / 49
    assert schedule.lam_scale(0) == pytest.approx(1 / 50)
    assert schedule.lam_scale(49) == schedule.lam_scale(99) == 1.0


def test_the_rate_can_fall_in_steps_over_a_number_of_iterations() -> None:
    decay = Decay(factor=0.9, every=5000)
    schedule = training.Schedule(Budget(iterations=12000, lr=0.05, decay=decay), 550)
    assert schedule.total == schedule.penalised == 12000
    assert schedule.lr(0) == schedule.lr(4999) == 0.05
    assert schedule.lr(5000) == schedule.lr(9999) == pytest.approx(0.045)
    assert schedule.lr(11999) == pytest.approx(0.0405)


@pytest.mark.parametrize("flip", [False, True])
def test_a_budget_mirrors_images_where_that_is_asked(flip: bool) -> None:
    images = torch.rand(40, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    whole = training.Examples(images, torch.arange(40), 1.0)
    batches = loop._Batches(whole, Budget(batch=40, epochs=1, flip=flip), 0)
    x, numbers = batches.draw(0)
    mirrored = [torch.equal(one, images[n].flip(-1)) for one, n in zip(x, numbers, strict=True)]
    plain = [torch.equal(one, images[n]) for one, n in zip(x, numbers, strict=True)]
    assert [a or b for a, b in zip(mirrored, plain, strict=True)] == [True] * 40
    assert (any(mirrored), all(mirrored)) == (flip, False)


def test_the_rate_warms_up_before_it_holds() -> None:
    schedule = training.Schedule(BUDGET.model_copy(update={"warmup": 0.1}), 10)
    assert [schedule.lr(t) for t in (0, 4, 9, 50)] == pytest.approx([0.04, 0.2, 0.4, 0.4])
    assert schedule.lr(100) == 0.2


def test_the_curve_ends_both_phases() -> None:
    schedule = training.Schedule(BUDGET, 10)
    assert {100, 150} <= schedule.curve()
    assert len(schedule.curve()) <= BUDGET.curve_points + 1


def test_training_learns_and_makes_exact_zeros() -> None:
    trained = run()
    assert trained.val_error_pct < 8
    assert trained.nonzero_weights < 0.5 * trained.weights_dense
    assert trained.weights_dense == 6 * 16 + 16 * 8 + 8 * 2
    counted = sum(int(torch.count_nonzero(v)) for v in trained.state.values() if v.dim() == 2)
    assert counted == trained.nonzero_weights


def test_the_same_seed_gives_the_same_bits() -> None:
    first, again = run(), run()
    assert first.history == again.history
    assert all(torch.equal(v, again.state[k]) for k, v in first.state.items())


def test_dropout_draws_by_the_seed_alone_and_leaves_torch_as_it_was() -> None:
    def trained(ambient: int) -> training.Trained:
        layers = models.build("mlp", (6,), 2, seed=0, hidden=[16]).children()
        torch.manual_seed(ambient)
        before = torch.get_rng_state()
        found = run(lam=0.0, model=nn.Sequential(nn.Dropout(0.5), *layers))
        assert torch.equal(torch.get_rng_state(), before)
        return found

    assert trained(ambient=1).history == trained(ambient=2).history


def test_debias_keeps_the_zero_pattern() -> None:
    history = run().history
    end = next(row for row in history if row["iteration"] == 160)
    assert end["phase"] == "train"
    assert all(
        row["nonzero_weights"] <= end["nonzero_weights"]
        for row in history
        if row["phase"] == "debias"
    )


def test_compaction_while_training_returns_full_shapes() -> None:
    shrunk = run(BUDGET.model_copy(update={"shrink_every": 16}))
    plain = run()
    assert {k: v.shape for k, v in shrunk.state.items()} == {
        k: v.shape for k, v in plain.state.items()
    }
    assert shrunk.val_error_pct < 8


def test_what_stayed_for_a_multiple_leaves_at_the_end() -> None:
    aligned = run(BUDGET.model_copy(update={"shrink_every": 16, "align": 8}))
    first, second = (aligned.state[f"{n}.weight"] for n in (3, 5))
    read = (second != 0).any(0)
    assert 0 < int(read.sum()) < 8
    assert not first[~read].any()


def test_a_diverging_run_is_refused_with_the_mend() -> None:
    with pytest.raises(Tl1benchError, match="lower the learning rate"):
        run(BUDGET.model_copy(update={"lr": 1e8, "ramp": 0.0}), lam=0.0)


def test_examples_are_scaled_when_used() -> None:
    held = training.Examples(
        torch.tensor([[255, 0]], dtype=torch.uint8), torch.tensor([1]), 1 / 255
    )
    x, y = held.batch(torch.tensor([0]))
    assert x.tolist() == [[1.0, 0.0]]
    assert y.tolist() == [1]


def test_the_error_is_read_in_evaluation_mode_and_the_mode_is_kept() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Dropout(1.0), nn.Linear(6, 2))
    with torch.no_grad():
        model[2].weight.copy_(torch.eye(2, 6) * torch.tensor([[-1.0], [0.0]]))
        model[2].bias.zero_()
    assert training.error_pct(model, examples()) == 0.0
    assert model.training


def test_a_gpu_that_is_not_there_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.choose_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no GPU here"):
        training.choose_device("cuda")


def test_no_debias_and_no_ramp_are_possible() -> None:
    budget = BUDGET.model_copy(update={"debias_epochs": 0.0, "ramp": 0.0, "epochs": 1.0})
    trained = run(budget)
    assert math.isfinite(trained.val_error_pct)
    assert trained.history[-1]["phase"] == "train"
