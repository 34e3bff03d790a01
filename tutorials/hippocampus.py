"""Does 3D-CPC help hippocampus segmentation? Pre-train, fine-tune with few and many labels, compare with scratch.

    python tutorials/hippocampus.py run --data <Task04 folder> --out study [--part 0/2]
    python tutorials/hippocampus.py table --out study

Every run goes through the bundles and is skipped when it has finished, so a killed study goes on where it stood; parts
may run side by side. Replicate ``s`` uses seed ``s`` for pre-training, for the drawn subjects and for fine-tuning, and
both arms of a replicate see the same subjects. The test subjects are read for the table only.
"""

from __future__ import annotations

import argparse
import itertools
import time
from pathlib import Path

import pandas as pd
from monai.bundle import ConfigParser

from medvol import bundles
from medvol.metrics import crossed_interval

ROOT = Path(__file__).parents[1]
SEEDS, COUNTS, ARMS = (0, 1, 2), (4, 16, "all"), ("scratch", "cpc3d")


def pretrain(data: str, out: Path, seed: int) -> Path:
    """Pre-train without labels on the 82 subjects of the pool; return the encoder's weights."""
    sizes = ConfigParser.load_config_file(ROOT / "bundles" / "cpc3d" / "args_hippocampus.json")
    folder = bundles.run(
        "cpc3d",
        **sizes,
        dataset_dir=data,
        seed=seed,
        run_name=f"seed{seed}",
        output_dir=str(out / "cpc3d"),
        mlflow=False,
    )
    return folder / "model.pt"


def finetune(data: str, out: Path, arm: str, count: int | str, seed: int) -> None:
    """Fine-tune a U-Net with ``count`` subjects and score it on the test subjects."""
    start = out / "cpc3d" / f"seed{seed}" / "model.pt"
    while arm == "cpc3d" and not start.with_name("passport.json").exists():
        time.sleep(5)  # another part is pre-training it
    folder = bundles.run(
        "unet_hippocampus",
        dataset_dir=data, pretrained=str(start) if arm == "cpc3d" else None, num_patients=count, subset_seed=seed,
        seed=seed, run_name=f"{arm}-{count}-seed{seed}", output_dir=str(out / "unet"), mlflow=False,
        eval_every_examples=None,
    )  # fmt: skip
    if not (folder / "test" / "metrics.csv").exists():
        weights = str(folder / "model.pt")
        bundles.run("unet_hippocampus", "evaluate.json", dataset_dir=data, weights=weights, save_predictions=False)


def table(out: Path) -> pd.DataFrame:
    """One row per label count, region and metric: both arms, and the paired difference with its interval."""
    frames = []
    for file in sorted((out / "unet").glob("*/test/metrics.csv")):
        frame = pd.read_csv(file)
        frame["count"] = file.parents[1].name.split("-")[1]
        frames.append(frame)
    scores = pd.concat(frames)
    rows = []
    for count, (region, metric) in itertools.product(
        map(str, COUNTS), [("anterior", "dice"), ("posterior", "dice"), ("whole", "hd95")]
    ):
        part = scores[(scores["count"] == count) & (scores.region == region) & (scores.metric == metric)]
        # The unit is the subject: the scores of its two sides are averaged first.
        cube = {arm: part[part.arm == arm].pivot_table(index="seed", columns="patient", values="value") for arm in ARMS}
        paired = cube["cpc3d"].index.intersection(cube["scratch"].index)
        if len(paired) < 2:
            continue  # a study that is still running
        cube = {arm: cube[arm].loc[paired] for arm in ARMS}
        interval = crossed_interval((cube["cpc3d"] - cube["scratch"]).to_numpy())
        means = {arm: cube[arm].to_numpy().mean() for arm in ARMS}
        spread = {f"{arm} s.d. over seeds": cube[arm].mean(axis=1).std() for arm in ARMS}
        difference = {
            "difference": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "seeds": len(cube["scratch"]),
        }
        rows.append({"subjects": count, "region": region, "metric": metric, **means, **spread, **difference})
    return pd.DataFrame(rows)


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument("--data", help="folder of Task04 of the Medical Segmentation Decathlon")
    parser.add_argument("--out", type=Path, default=Path("study"))
    parser.add_argument("--part", default="0/1", help="which of how many processes this is, such as 0/2")
    args = parser.parse_args()
    if args.action == "table":
        frame = table(args.out)
        frame.to_csv(args.out / "table.csv", index=False)
        print(frame.to_string(index=False, float_format=lambda v: f"{v:.3f}"))
        return
    part, parts = map(int, args.part.split("/"))
    jobs = [(pretrain, (seed,)) for seed in SEEDS]
    jobs += [(finetune, (arm, count, seed)) for count, seed, arm in itertools.product(COUNTS, SEEDS, ARMS)]
    for job, values in jobs[part::parts]:
        job(args.data, args.out, *values)
        print("done:", job.__name__, *values, time.strftime("%H:%M:%S"), flush=True)


if __name__ == "__main__":
    main()
