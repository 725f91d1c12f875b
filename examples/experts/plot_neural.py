"""
Neural networks as experts
==========================

A network is an expert like any other: `MLPClassifier` in a pipeline that scales for
it, or a module of PyTorch, which skorch makes an estimator of scikit-learn.

.. image:: images/sphx_glr_plot_neural_001.png
   :alt: log-loss of new pictures, of each expert and of the mixture
   :width: 640
"""

import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmoe import MixtureOfExpertsClassifier

X, digit = load_digits(return_X_y=True)
X, X_new, y, y_new = train_test_split(X, digit, train_size=600, random_state=0)

# %%
# A list of different experts is a pool: each is fitted to all rows, once per fold
# and once for good, and the mixture learns whom to trust. The seed of a network is
# a parameter like others; give it, and the fit repeats.

network = MLPClassifier((32,), alpha=0.1, max_iter=300, random_state=0)
experts = [
    ("network", make_pipeline(StandardScaler(), network)),
    ("trees", ExtraTreesClassifier(random_state=0)),
    ("linear", make_pipeline(StandardScaler(), LogisticRegression(C=0.1))),
]

# %%
# Where PyTorch and skorch are installed, a module of one's own takes part. skorch
# wants single precision, and codes of the classes, which digits are already.

try:
    import torch
    from skorch import NeuralNetClassifier
except ImportError:
    print("without PyTorch and skorch: no module of one's own")
else:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 8, 8)),
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 64, 10),
    )
    convolutional = NeuralNetClassifier(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        max_epochs=30,
        lr=0.1,
        train_split=None,
        verbose=0,
    )
    single = FunctionTransformer(np.float32)
    experts.append(
        (
            "convolutional",
            make_pipeline(StandardScaler(), single, convolutional),
        )
    )

# %%
# The loss of new pictures:

moe = MixtureOfExpertsClassifier(experts, random_state=0).fit(X, y)
models = {**moe.named_experts_, "mixture": moe}
loss = {
    name: log_loss(y_new, model.predict_proba(X_new))
    for name, model in models.items()
}
colours = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"][: len(experts)]
figure, ax = plt.subplots(figsize=(6.5, 2.5), layout="constrained")
bars = ax.barh(list(loss), list(loss.values()), color=[*colours, "0.3"])
ax.bar_label(bars, fmt="%.3f", padding=3)
ax.margins(x=0.12)
ax.invert_yaxis()
ax.set(xlabel="log-loss of new pictures", title="Which digit is it?")
plt.show()

# %%
# Copies of one network are experts, too: ``MixtureOfExpertsClassifier(network,
# n_experts=4)`` trains each on rows of its own. That costs many fits, and a larger
# network finds regimes by itself. See :doc:`/when_it_helps`, and
# :doc:`/neural_networks` for what the devices of neural mixtures of experts are
# called here.
