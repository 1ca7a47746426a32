from pathlib import Path

import pytest
import yaml

from tl1bench import config
from tl1bench.errors import ConfigError
from tl1bench.pipeline import run

SMALL = {
    "profile": "test",
    "seeds": [0],
    "datasets": {"digits": {}},
    "problems": {
        "p": {
            "dataset": "digits",
            "network": {"name": "mlp"},
            "budget": {"epochs": 1, "lr": 0.1},
        }
    },
    "methods": {"l1": {"lam": 0.1}},
}


PATH = {"dataset": "digits", "network": {"name": "mlp"}, "path": {"lr": 0.1}}


def edited(path: str, value: object) -> dict:
    """Return SMALL with the value at a dotted path replaced."""
    keys = path.split(".")

    def walk(node: dict, rest: list[str]) -> dict:
        key, *below = rest
        return {**node, key: walk(node.get(key, {}), below) if below else value}

    return walk(SMALL, keys)


def load(tmp_path: Path, content: object) -> config.Config:
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return config.load(file)


@pytest.mark.parametrize("path", run.PROFILES.values(), ids=str)
def test_every_profile_is_valid(path: Path) -> None:
    loaded = config.load(Path(__file__).parent.parent / path)
    assert "integrated_tl1" in loaded.methods


def test_a_single_lam_is_a_list_of_one(tmp_path: Path) -> None:
    assert load(tmp_path, SMALL).methods["l1"].lams("p") == (0.1,)


def test_a_problem_can_have_its_own_lams(tmp_path: Path) -> None:
    loaded = load(tmp_path, edited("methods.l1.lam_for", {"p": [0.2, 0.3]}))
    assert loaded.methods["l1"].lams("p") == (0.2, 0.3)


def test_a_penalty_can_have_its_own_growth_and_another_on_one_problem(tmp_path: Path) -> None:
    content = edited("problems", {"p": PATH, "q": PATH})
    content["methods"] = {
        "dense": {"penalty": "l2"},
        "l1": {},
        "tl1": {"growth": 1.2, "growth_for": {"q": 1.1}},
    }
    found = load(tmp_path, content)
    grown = {at: {n: m.growth for n, m in found.methods_on(at).items()} for at in ("p", "q")}
    assert grown == {
        "p": {"dense": None, "l1": None, "tl1": 1.2},
        "q": {"dense": None, "l1": None, "tl1": 1.1},
    }


def test_a_method_is_the_penalty_of_its_name_unless_it_says_otherwise(tmp_path: Path) -> None:
    loaded = load(tmp_path, edited("methods.dense", {"penalty": "l2", "lam": 1e-4}))
    assert (loaded.methods["l1"].penalty, loaded.methods["dense"].penalty) == ("l1", "l2")


def test_on_a_path_lams_are_found_and_a_name_says_what_a_method_is(tmp_path: Path) -> None:
    content = edited("problems", {"p": PATH})
    content["methods"] = {
        "dense": {"penalty": "l2"},
        "tl1": {},
        "magnitude": None,
        "layered": {"method": "magnitude", "hyper": {"scope": "layer"}},
    }
    found = load(tmp_path, content).methods
    assert {name: (m.method, m.penalty) for name, m in found.items()} == {
        "dense": ("penalised", "l2"), "tl1": ("penalised", "tl1"),
        "magnitude": ("magnitude", ""), "layered": ("magnitude", "layered"),
    }  # fmt: skip
    assert found["tl1"].lams("p") == ()


def test_six_lines_suffice(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        {
            "datasets": {"mine": {"path": "data/mine/mine.csv"}},
            "problems": {"p": {"dataset": "mine", "network": {"name": "mlp"}}},
            "methods": {"dense": {"penalty": "l2", "lam": 1e-4}, "l1": {}},
        },
    )
    assert loaded.profile == "own"
    assert loaded.problems["p"].path.steps > 1
    assert loaded.problems["p"].validation is None


def test_a_folder_of_images_may_be_the_folder_of_the_data_set(tmp_path: Path) -> None:
    loaded = load(tmp_path, edited("datasets.mine", {"path": "data/mine", "size": 32}))
    assert loaded.datasets["mine"].size == 32


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("problems.p.budgte", {}, "problems.p.budgte is not a known key"),
        ("problems.p.budget.lr", -1, "problems.p.budget.lr = -1: Input should be greater than 0"),
        ("problems.p.budget.hold", 1.5, "problems.p.budget.hold"),
        ("problems.p.budget.iterations", 5, "as epochs or as iterations, one of them above 0"),
        ("problems.p.budget.epochs", 0, "as epochs or as iterations, one of them above 0"),
        (
            "problems.p.budget",
            {"epochs": 1, "lr": 0.1, "hold": 0.5, "decay": {"factor": 0.9, "every": 10}},
            "by decay or by hold and final_lr",
        ),
        ("problems.p.mu", [0.5, 1.5], "problems.p.mu.1 = 1.5"),
        ("problems.p.network.name", "nonesuch", "choose one of lenet5, mlp"),
        ("problems.p.dataset", "nonesuch", "not among `datasets:`"),
        ("methods.l1.optimizer", "nonesuch", "choose one of"),
        ("methods.nonesuch", {"lam": 1}, "there is no penalty 'nonesuch'"),
        ("methods.l1", {}, "methods.l1: p has a budget and trains each λ by itself"),
        ("methods.l1.lam", [], "methods.l1.lam"),
        ("methods.magnitude", {}, "methods.magnitude: p has a budget"),
        ("methods.x", {"method": "nonesuch"}, "there is no method 'nonesuch'"),
        ("problems.p.path", {"lr": 0.1}, "give either `path:` (one path a method) or `budget:`"),
        ("problems.p.methods", ["l2"], "problems.p.methods: there is no method 'l2'"),
        ("problems.q", {**PATH, "path": {"lr": 0.1, "growth": 1}}, "problems.q.path.growth = 1"),
        ("problems.p", {**PATH, "path": {"lr": 1, "growth": 1e999}}, "problems.p.path.growth"),
        ("methods.l1.growth", 1, "methods.l1.growth = 1: Input should be greater than 1"),
        ("methods.l1.growth_for", {"p": 0.5}, "methods.l1.growth_for.p = 0.5"),
        ("methods.l1.growth_for", {"r": 1.2}, "methods.l1.growth_for.r: there is no such problem"),
        ("methods.l1.growth_for", {"p": 1.2}, "methods.l1.growth_for.p: it has a budget, and no"),
        ("methods.magnitude", {"growth": 1.2}, "methods.magnitude: `growth` is for penalties"),
        ("methods.dense", {"penalty": "l2", "growth": 1.2}, "methods.dense: `growth` is for"),
        ("problems.q", PATH, "paths begin at a dense network: add `dense:`"),
        ("select", {"by": "size"}, "select.by = 'size'"),
        ("methods.l1.lam", -0.1, "methods.l1.lam"),
        ("methods.l1.lam_for", {"q": [1]}, "methods.l1.lam_for.q: there is no such problem"),
        ("datasets.mine", {}, "give a path to your own file"),
        ("datasets.mine", {"path": "elsewhere/mine.npz"}, "data/mine/mine.npz"),
        ("datasets.digits.columns", {"a": "text"}, "datasets.digits.columns.a"),
        ("datasets.digits.preprocess", {"numbers": "log"}, "datasets.digits.preprocess"),
        ("datasets.digits.reading", {"separator": ";;"}, "datasets.digits.reading.separator"),
        ("seeds", [1, 1], "seeds must differ"),
        ("workers", 0, "must be auto or at least 1"),
        ("device", "tpu", "device = 'tpu'"),
        ("measure", {"batches": [64]}, "must both hold 1"),
        ("profile", None, "profile"),
    ],
)
def test_what_cannot_be_is_refused_with_its_path(
    tmp_path: Path, path: str, value: object, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, edited(path, value))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_broken_yaml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Cannot read"):
        config.load(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        config.load(broken)
    broken.write_bytes(b"a: \xe9")
    with pytest.raises(ConfigError, match=r"is not UTF-8 \(byte 3\)"):
        config.load(broken)
    for depth in ("[" * 9000 + "]" * 9000, "".join(f"{' ' * i}a:\n" for i in range(300))):
        broken.write_text(depth)
        with pytest.raises(ConfigError, match=r"nested (too deeply|without end)"):
            config.load(broken)
    broken.write_text("- a")
    with pytest.raises(ConfigError, match="must hold a mapping"):
        config.load(broken)
