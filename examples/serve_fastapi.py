r"""Serving a bundle: predictions, intervals, experts asked, explanations, as JSON.

pip install 'skmoe[serve]', then

    python examples/serve_fastapi.py model.skmoe --port 8000
    curl localhost:8000/predict -H 'Content-Type: application/json' \
        -d '{"rows": [[0.1, 0.2]]}'

The bundle is verified before it is loaded: its hashes, and its golden rows, which
the loaded model has to answer as the saved one did. A row is a list of values in
the order of the features, or an object by their names. Whatever is wrong with a
request is answered with status 422.
"""

import argparse
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import is_classifier
from threadpoolctl import threadpool_limits

import skmoe
from skmoe.inspection import explain_routing

MOST_ROWS = 10_000
"""More have to be sent in several requests."""


class Request(BaseModel):
    """Rows to predict: numbers and strings; null is a missing value."""

    model_config = ConfigDict(extra="forbid")
    rows: list[list[Any] | dict[str, Any]] = Field(
        min_length=1, max_length=MOST_ROWS
    )
    explain: bool = False


def as_features(model, rows):
    """Rows as the model takes them.

    Raises
    ------
    ValueError
        If a row is not one of the model's.
    """
    names = getattr(model, "feature_names_in_", None)
    if isinstance(rows[0], dict):
        if names is None:
            raise ValueError(
                "this model knows no names of features; send each row as a list"
            )
        wanted = set(names)
        for number, row in enumerate(rows):
            if not isinstance(row, dict) or set(row) != wanted:
                raise ValueError(
                    f"row {number} must be an object with the keys {sorted(wanted)}"
                )
        rows = [[row[name] for name in names] for row in rows]
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != model.n_features_in_:
            raise ValueError(
                f"row {number} must be a list of {model.n_features_in_} values"
            )
        if any(isinstance(value, list | dict) for value in row):
            raise ValueError(f"row {number} must hold numbers and strings only")
    if names is not None:
        import pandas as pd

        return pd.DataFrame(rows, columns=list(names)).infer_objects()
    return np.array(
        [[np.nan if v is None else v for v in row] for row in rows], dtype=float
    )


def numbers(model, X):
    """Predictions of a regressor with intervals of 90 percent, from one look at X.

    The prediction is the mean of the distribution: to call both ``predict`` and
    ``predict_interval`` would ask all experts twice. Where ``top_k`` is set, few
    experts are asked, and there is no interval.
    """
    if model.top_k is not None:
        return [{"prediction": value} for value in model.predict(X).tolist()]
    distribution = model.predict_distribution(X)
    pairs = zip(
        distribution.mean().tolist(),
        distribution.interval(0.9).tolist(),
        strict=True,
    )
    return [{"prediction": mean, "interval": interval} for mean, interval in pairs]


def answer(model, X):
    """Prediction of each row, how sure it is, and the experts asked."""
    names = list(model.named_experts_)
    if is_classifier(model):
        proba = model.predict_proba(X)
        labels = model.classes_[proba.argmax(axis=1)]
        answers = [
            {
                "prediction": label,
                "probabilities": dict(
                    zip(map(str, model.classes_), row, strict=True)
                ),
            }
            for label, row in zip(labels.tolist(), proba.tolist(), strict=True)
        ]
    else:
        answers = numbers(model, X)
    route = model.route(X)
    asked = zip(
        answers, route.indices.tolist(), route.weights.tolist(), strict=True
    )
    for each, experts, weights in asked:
        pairs = zip(experts, weights, strict=True)
        each["experts"] = {names[k]: weight for k, weight in pairs if weight > 0}
    return answers


def application(model):
    """The service for a fitted mixture."""
    app = FastAPI(title="skmoe", version=skmoe.__version__)

    @app.get("/health")
    def health():
        """What is served."""
        return {
            "model": type(model).__name__,
            "n_features": model.n_features_in_,
            "features": list(getattr(model, "feature_names_in_", [])),
            "experts": list(model.named_experts_),
        }

    @app.post("/predict")
    async def predict(request: Request):
        """Answer for each row, one request after the other.

        Not in threads: a request is computation, of which Python does one at once,
        and requests that take turns in the middle of it all come late.
        """
        try:
            X = as_features(model, request.rows)
            answers = answer(model, X)
            if request.explain:
                for each, why in zip(answers, explanations(model, X), strict=True):
                    each["why"] = why
        except (ValueError, TypeError, OverflowError, RuntimeError) as error:
            raise HTTPException(422, detail=str(error)) from error
        return {"answers": answers}

    @app.exception_handler(RequestValidationError)
    async def refuse(request, error):
        """Say what is wrong, without repeating values that JSON may not have."""
        problems = [
            {"where": list(map(str, each["loc"])), "what": each["msg"]}
            for each in error.errors()
        ]
        return JSONResponse({"detail": problems}, status_code=422)

    return app


def explanations(model, X):
    """Why the gate chose its expert: the part of each feature in the log-odds."""
    table = explain_routing(model, X)
    routing, contribution = table["routing"], table["contribution"]
    for position in range(len(table)):
        yield {
            "expert": str(routing["expert"].iloc[position]),
            "runner_up": str(routing["runner_up"].iloc[position]),
            "log_odds": float(routing["log_odds"].iloc[position]),
            "contribution": {
                str(name): float(value)
                for name, value in contribution.iloc[position].items()
            },
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", help="made by skmoe.dump")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    model = skmoe.load(arguments.bundle)
    # Threads that share the work on a few rows cost more than they save, and where
    # others want the processors each request waits for the last of them. To use all
    # processors, start several services behind a proxy. OpenMP's limit holds for
    # the thread that sets it, and for libraries that are loaded by then: it works
    # here because the experts are loaded and `predict` runs on this main thread.
    with threadpool_limits(1):
        uvicorn.run(
            application(model),
            host=arguments.host,
            port=arguments.port,
            log_level="warning",
        )


if __name__ == "__main__":
    main()
