"""Compares a GRU, a Transformer and a 1-d CNN of about equal size, trained for about equal time; prints a table.

    python onnx_models/behavior_v2/compare.py

Measured on simulated shops that no training saw; no real shop takes part in the choice.
"""

import argparse
import time

import numpy as np
import torch
from model import BODIES, BehaviorEncoder, Forecaster
from sklearn.metrics import roc_auc_score
from tokens import HORIZONS
from training import Examples, examples, padded, train, typical_amounts, window_errors

STEPS = {"gru": 2_000, "transformer": 1_500, "cnn": 2_000}
"""Steps that take each of them about as long."""


def validation(encoder: BehaviorEncoder, forecaster: Forecaster, data: Examples) -> dict[str, float]:
    """Return the errors on other shops, and the mean AUC of "orders within 90 days" within a shop at one time."""
    column = HORIZONS.index(90)
    typical = typical_amounts(data)
    order = np.argsort(np.diff(data.offsets), kind="stable")
    parts = []
    with torch.no_grad():
        for start in range(0, len(order), 512):
            which = order[start : start + 512]
            parts.append(forecaster.parts(encoder(*padded(data, which)), torch.from_numpy(data.age[which])))
        joined = torch.cat(parts)[np.argsort(order)]
        errors = window_errors(joined, data, np.arange(len(data)), typical)
        chance = 1 - torch.exp(-forecaster.hazard(joined)).numpy()
    areas = []
    for number in range(int(data.shop.max()) + 1):
        here = (data.shop == number) & ~np.isnan(data.orders[:, column])
        ordered = data.orders[here, column] > 0
        if min(ordered.sum(), (~ordered).sum()) >= 20:
            areas.append(roc_auc_score(ordered, chance[here, column]))
    return {
        "future loss": float(errors.future),
        "any order": float(errors.any_order),
        "log orders": float(errors.log_orders),
        "log spend": float(errors.log_spend),
        "AUC, 90 days": float(np.mean(areas)),
    }


def main() -> None:
    """Train each body with some seeds and print the table."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--shops", type=int, default=140)
    options.add_argument("--users", type=int, default=400)
    options.add_argument("--held-out", type=int, default=30, help="shops to measure on")
    options.add_argument("--bodies", nargs="+", choices=sorted(BODIES), default=list(BODIES))
    options.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    options.add_argument("--steps", type=int, help="steps, instead of those that take about equal time")
    given = options.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    began = time.process_time()
    data = examples(range(1_000, 1_000 + given.shops), given.users, 3)
    held_out = examples(range(800_000, 800_000 + given.held_out), given.users, 2)
    print(f"{len(data)} examples, {len(held_out)} held out, {time.process_time() - began:.0f} s of CPU", flush=True)
    titles: list[str] = []
    for seed in given.seeds:
        for body in given.bodies:
            began = time.process_time()
            encoder, forecaster = train(data, body, given.steps or STEPS[body], seed, quiet=True)
            seconds = time.process_time() - began
            size = sum(parameter.numel() for parameter in encoder.parameters())
            found = validation(encoder, forecaster, held_out)
            if not titles:
                titles = ["body", "seed", "parameters", "steps", "CPU seconds", *found]
                print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
            figures = " | ".join(f"{value:.4f}" for value in found.values())
            steps = given.steps or STEPS[body]
            print(f"| {body} | {seed} | {size} | {steps} | {seconds:.0f} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
