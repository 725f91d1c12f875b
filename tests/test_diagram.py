"""The diagram that notebooks show: gate and experts, with shares once they are fitted."""

import re
from html import unescape
from pathlib import Path

import pytest
import small_mixtures as small
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import estimator_html_repr

import skmoe
from skmoe import SoftmaxGate

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LABEL = re.compile(r"<label[^>]*>(.*?)</label>", re.DOTALL)


def labels(model):
    """What the boxes of the diagram are called, from left to right and from top to bottom."""
    boxes = LABEL.findall(estimator_html_repr(model))
    # The first <div> within a label is the name; links and captions follow.
    texts = [unescape(re.sub(r"<span.*?</span>|<[^>]+>", "", box)) for box in boxes]
    return [text.rstrip("i?").strip() for text in texts]


def forest_and_line():
    return [
        ("forest", RandomForestRegressor(4)),
        ("line", make_pipeline(StandardScaler(), Ridge())),
    ]


def test_before_fitting():
    name = "MixtureOfExpertsRegressor"
    inner = ["SoftmaxGate", "experts: 2 clones", "Ridge"]
    assert labels(small.regressor()) == [name, "gate", *inner]
    model = small.regressor(forest_and_line(), gate=DecisionTreeClassifier())
    parts = ["forest", "RandomForestRegressor", "line", "StandardScaler", "Ridge"]
    assert labels(model) == [name, "gate", "DecisionTreeClassifier", *parts]


def test_a_fitted_mixture_shows_shares():
    model = small.regressor(forest_and_line()).fit(small.X, small.Y)
    forest, line = model.utilization_.mass
    shown = labels(model)
    assert f"forest: {forest:.0%} of the weight" in shown
    assert f"line: {line:.0%} of the weight" in shown
    assert shown[1:3] == ["gate", "SoftmaxGate"]
    clones = small.classifier(LogisticRegression(), n_experts=3).fit(small.X, small.LABELS)
    shown = [label for label in labels(clones) if "weight" in label]
    assert shown == [
        f"experts: expert_{k}, {mass:.0%} of the weight"
        for k, mass in enumerate(clones.utilization_.mass)
    ]


def test_captions_side_by_side_do_not_run_together():
    model = small.regressor(Ridge()).fit(small.X, small.Y)
    text = unescape(re.sub(r"<[^>]+>", "", "".join(LABEL.findall(estimator_html_repr(model)))))
    assert not re.search(r"weight\w", text)


def test_the_shared_expert_is_shown():
    model = small.regressor(Ridge(), init="kmeans", shared_expert="generalist")
    model.fit(small.X, small.Y)
    assert f"shared expert: {model.shared_weight_:.0%} of the prediction" in labels(model)
    assert labels(model).count("Ridge") == 3
    both_err = [("line", Ridge()), ("flat", Ridge(1e6))]
    model = small.regressor(both_err, shared_expert="consensus").fit(small.X, small.X[:, 0] ** 2)
    assert model.shared_weight_ > 0 and labels(model)[-1] == "Consensus"


def test_many_parts_are_drawn_in_brief():
    few = [("line", make_pipeline(StandardScaler(), Ridge()))]
    many = [(f"line {k}", make_pipeline(StandardScaler(), Ridge(k))) for k in range(1, 7)]
    drawn = estimator_html_repr(small.regressor(many).fit(small.X, small.Y))
    assert len(drawn) < 150_000
    shown = labels(small.regressor(many))
    assert shown.count("Pipeline") == 6 and "Ridge" not in shown
    assert "Ridge(alpha=6)" in unescape(drawn)
    assert "Ridge" in labels(small.regressor(few))


def test_without_an_expert_that_was_dropped():
    model = small.regressor(Ridge(), n_experts=3).fit(small.X, small.Y).drop_expert("expert_1")
    parts = ["expert_0", "Ridge", "expert_2", "Ridge"]  # a list from now on
    assert labels(model) == ["MixtureOfExpertsRegressor", "gate", "SoftmaxGate", *parts]
    with_data = small.regressor(Ridge(), n_experts=3).fit(small.X, small.Y)
    with_data = with_data.drop_expert("expert_1", small.X, small.Y)
    assert sum("of the weight" in label for label in labels(with_data)) == 2


def test_copied_names_of_parameters_can_be_set():
    """The prefix that newer versions of scikit-learn give to names copied from the diagram."""
    for experts in (Ridge(), forest_and_line()):
        model = small.regressor(experts, gate=SoftmaxGate()).fit(small.X, small.Y)
        prefixes = set(re.findall('data-param-prefix="([^"]+)"', estimator_html_repr(model)))
        for prefix in prefixes:
            assert prefix.removesuffix("__") in model.get_params()


def test_in_a_pipeline():
    model = make_pipeline(StandardScaler(), small.regressor(forest_and_line()))
    assert "forest" in labels(model) and "gate" in labels(model)
    assert any("of the weight" in label for label in labels(model.fit(small.X, small.Y)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"experts": []},
        {"experts": [Ridge()]},
        {"experts": 3},
        {"experts": [("a", 3), ("b", "drop")]},
        {"experts": Ridge},
        {"n_experts": "many"},
        {"gate": 3},
        {"gate": SoftmaxGate},
    ],
    ids=str,
)
def test_wrong_parameters_are_for_fit_to_complain_about(wrong):
    model = small.regressor().set_params(**wrong)
    assert "MixtureOfExpertsRegressor" in labels(model)[0]


def test_an_expert_that_is_not_loaded_stays_so(tmp_path):
    path = tmp_path / "model.skmoe"
    skmoe.dump(small.regressor(forest_and_line()).fit(small.X, small.Y), path)
    model = skmoe.load(path, trusted=True, lazy=True)
    shown = labels(model)
    assert sum("not loaded" in label for label in shown) == 2
    assert sum("of the weight" in label for label in shown) == 2


def test_links_to_the_documentation():
    """Below the address that pyproject.toml names; classes of others are not ours to document."""
    pyproject = Path(__file__).resolve().parents[1] / "pyproject.toml"
    address = re.search(r'^Documentation = "(.*)"$', pyproject.read_text(), re.MULTILINE)[1]
    drawn = estimator_html_repr(small.regressor(gate=SoftmaxGate()).fit(small.X, small.Y))
    for name in ("skmoe.MixtureOfExpertsRegressor", "skmoe.gates.SoftmaxGate"):
        assert f'href="{address}/generated/{name}.html' in drawn

    class Own(skmoe.MixtureOfExpertsRegressor):
        pass

    assert Own()._get_doc_link() == ""
