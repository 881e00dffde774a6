"""Similarity and projection: Gram matrices are looked up and read here, and compared in `similarity`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from werkzeug.wrappers import Request, Response

from tensorboard_plugin.actviz import limits, parameters, responses, similarity, wire
from tensorboard_plugin.actviz.answers import Handler
from tensorboard_plugin.actviz.parameters import BadRequestError
from tensorboard_plugin.actviz.series import EVERYTHING, Indices, Span, Steps, thinned, within
from tensorboard_plugin.actviz.store import NotLoggedError, Store


@dataclass(frozen=True, slots=True)
class Grams:
    """One side of a comparison.

    Attributes:
        logged: how many there are. labels: layers or steps of those that were taken. triangles: [K, n (n + 1) / 2].
        n: samples.
    """

    logged: int
    labels: list[Any]
    triangles: similarity.Array
    n: int


@dataclass(frozen=True, slots=True)
class StepsOf:
    """A layer over the steps of a span."""

    run: str
    layer: str
    span: Span

    def grams(self, store: Store, most: int) -> Grams:
        """Read at most so many Gram matrices.

        Raises:
            NotLoggedError: there is none.
        """
        logged, records = store.over_steps(self.run, "gram", self.layer, self.span, most)
        first, last = self.span
        where = f"run={self.run!r}, layer={self.layer!r}" + (f", step={first}" if first == last else "")
        if not logged:
            raise NotLoggedError("no_data", f"No Gram matrices for {where}")
        return _grams(logged, [(step, record.arrays.get("gram")) for step, record in records], where)


@dataclass(frozen=True, slots=True)
class LayersAt:
    """The layers of a model at a step."""

    run: str
    model: str
    step: int

    def grams(self, store: Store, most: int) -> Grams:
        """Read at most so many Gram matrices.

        Raises:
            NotLoggedError: there is none.
        """
        with store.run(self.run) as index:
            known = [layer for layer in index.names("gram") if index.model_of(layer) == self.model]
            order = {layer: place for place, layer in enumerate(index.layer_names())}
        known.sort(key=lambda layer: order.get(layer, len(order)))

        def at(steps: Steps) -> Indices:
            return within(steps, (self.step, self.step))

        found = [location for layer in known for location in store.locate(self.run, "gram", layer, at)[1]]
        where = f"run={self.run!r}, model={self.model!r}, step={self.step}"
        if not found:
            raise NotLoggedError("no_data", f"No Gram matrices for {where}")
        records = store.decoded(store.fitting([found[index] for index in thinned(len(found), most)]))
        return _grams(len(found), [(record.header.get("layer"), record.arrays.get("gram")) for _, record in records], where)


def compare(store: Store, request: Request) -> Response:
    run, estimator = parameters.text(request, "run"), parameters.choice(request, "estimator", similarity.ESTIMATORS, "biased")
    other_run = parameters.text(request, "other_run", run)
    by_step = parameters.given(request, "step")
    if by_step == parameters.given(request, "layer"):
        raise BadRequestError("expected either step (its layers are compared) or layer (its steps are compared)")
    span = parameters.span(request)
    most = parameters.number(request, "columns", 2, limits.GRAMS, limits.GRAMS)
    if by_step:
        step, model = parameters.step(request), parameters.text(request, "model", "")
        other_step, other_model = parameters.step(request, "other_step", step), parameters.text(request, "other_model", model)
        asked: dict[str, Any] = {"model": model, "step": step, "other_run": other_run, "other_model": other_model, "other_step": other_step}
        sides: list[LayersAt] | list[StepsOf] = [LayersAt(run, model, step), LayersAt(other_run, other_model, other_step)]
        models = [(run, model), (other_run, other_model)]
    else:
        name = parameters.text(request, "layer")
        other_layer = parameters.text(request, "other_layer", name)
        asked = {"layer": name, "other_run": other_run, "other_layer": other_layer}
        sides = [StepsOf(run, name, span), StepsOf(other_run, other_layer, span)]
        models = [(each.run, model_of(store, each.run, each.layer)) for each in sides]

    def compute(revision: str) -> Response:
        one = sides[0].grams(store, most)
        other = one if sides[0] == sides[1] else sides[1].grams(store, most)
        if one.n != other.n:
            raise BadRequestError(f"the Gram matrices are of {one.n} and of {other.n} samples; only those of the same samples compare")
        if estimator == "unbiased" and one.n < similarity.UNBIASED_SAMPLES:
            raise BadRequestError(f"estimator='unbiased' needs {similarity.UNBIASED_SAMPLES} samples or more; here are {one.n}")
        cka = similarity.cka(*(similarity.directions(each.triangles, each.n, estimator) for each in (one, other)))
        header = {"run": run, "revision": revision, **asked, "estimator": estimator, "samples": one.n}
        header |= {"logged": [one.logged, other.logged], "same_inputs": _same_inputs(store, *models)}
        arrays: dict[str, Any] = {
            "cka": cka,
            "states": similarity.states(one.triangles),
            "other_states": similarity.states(other.triangles),
        }
        if by_step:
            header |= {"layers": one.labels, "other_layers": other.labels}
            return responses.container("similarity", header, arrays)
        steps = {"steps": np.array(one.labels, np.float64), "other_steps": np.array(other.labels, np.float64)}
        return responses.container("similarity", header, steps | arrays)

    return responses.derived(request, store, [run, other_run], compute)


def project(store: Store, request: Request) -> Response:
    run, name = parameters.text(request, "run"), parameters.text(request, "layer")
    if parameters.given(request, "step"):
        step = parameters.step(request)
        span = (step, step)
    else:
        span = parameters.span(request)
    most = parameters.number(request, "columns", 2, limits.GRAMS, limits.GRAMS)

    def compute(revision: str) -> Response:
        grams = StepsOf(run, name, span).grams(store, most)
        found = similarity.project(grams.triangles, grams.n)
        header = {"run": run, "revision": revision, "layer": name, "samples": grams.n, "logged": grams.logged}
        arrays = {"steps": np.array(grams.labels, np.float64), "points": found.points}
        arrays |= {"explained": found.explained, "participation": found.participation, "effective_rank": found.effective_rank}
        arrays["states"] = similarity.states(grams.triangles)
        return responses.container("projection", header, arrays)

    return responses.derived(request, store, [run], compute)


def model_of(store: Store, run: str, layer: str) -> str:
    """Return the name of the model that a layer is of, empty where it has none."""
    with store.run(run) as index:
        return index.model_of(layer)


def _grams(logged: int, pairs: Sequence[tuple[Any, similarity.Array | None]], where: str) -> Grams:
    """Return what makes sense: where the samples became others on the way, those of the newest number of them."""
    sized = [(label, gram, n) for label, gram in pairs if gram is not None and (n := similarity.samples(gram)) is not None]
    if not sized:
        raise NotLoggedError("no_data", f"No Gram matrices that can be read for {where}")
    n = sized[-1][2]
    kept = [(label, gram) for label, gram, number in sized if number == n]
    return Grams(logged, [label for label, _ in kept], similarity.stacked([gram for _, gram in kept], n), n)


def _same_inputs(store: Store, one: tuple[str, str], other: tuple[str, str]) -> bool | None:
    """Say whether two models, each a run and a name in it, show the same samples, as far as their newest inputs tell; None where neither
    can be drawn."""
    if one == other:
        return True
    newest = []
    for run, model in (one, other):
        _, records = store.over_steps(run, "inputs", model, EVERYTHING, 2)
        if not records:
            return None
        newest.append(records[-1][1])
    return same_samples(*newest)


def same_samples(one: wire.Record, other: wire.Record) -> bool | None:
    """Say whether two ``inputs`` records are of the same samples with the same labels; None where neither is known nor can be drawn."""
    digests = [record.header.get("digest") for record in (one, other)]
    if all(digests):
        same = digests[0] == digests[1]
    elif not one.arrays and not other.arrays:
        return None
    else:
        same = all(np.array_equal(one.arrays.get(name, _NOTHING), other.arrays.get(name, _NOTHING)) for name in ("data", "low", "high"))
    return same and one.header.get("labels") == other.header.get("labels")


_NOTHING = np.empty(0)

HANDLERS: dict[str, Handler] = {"similarity": compare, "projection": project}
