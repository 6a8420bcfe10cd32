"""Sweeps of alpha and lambda, and the paper's ablation tables, filled from the checkpoints that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from animatex_core.pose.strict_json import write_json

from .methods import MethodSpec, parse_method
from .metrics.table import METRICS
from .records import RunFolder

NOT_RUN = "not run"
# The columns of the paper's tables and which metric of ours is nearest, in both presets where there are two.
COLUMNS = (
    "psnr_disco", "ssim_disco", "l1_disco", "lpips_vgg_disco", "fid_disco", "fid_vid_disco_whole", "fvd_disco_whole",
    "psnr", "ssim", "mae", "lpips_alex", "fid", "fid_vid", "fvd",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of the paper. file: name of its checkpoint, without ending. holds: how it differs from the full model."""

    name: str
    file: str
    holds: Mapping[str, Any]


_EPI = ("realign", "rescale", "body_shoulders", "neck_face", "arms_legs", "add", "drop")
FULL = Row("Animate-X", "animate-x", {"motion_attention": "serial", "query": "merged"})
NO_IPI = Row("w/o IPI", "no-ipi", {"motion_attention": "none"})
NO_LQ = Row("w/o LQ", "no-lq", {"query": "pose"})
NO_DQ = Row("w/o DQ", "no-dq", {"query": "learned"})
NO_EPI = Row("w/o EPI", "no-epi", {"probability": 0.0})
NO_REALIGN = {"realign": False}
TABLES: Mapping[int, tuple[Row, ...]] = {
    4: (NO_IPI, NO_LQ, NO_DQ, NO_EPI, Row("w/o Realign", "no-realign", NO_REALIGN),
        Row("w/o Rescale", "no-rescale", {"rescale": False}), FULL),
    5: (NO_IPI, NO_LQ, NO_DQ, Row("PA", "pa", {"motion_attention": "parallel"}), Row("KV_Q", "kv-q", {"query": "clip"}),
        NO_EPI, Row("w/o Add", "no-add", {"add": False}), Row("w/o Drop", "no-drop", {"drop": False}),
        Row("w/o BS", "no-bs", {"body_shoulders": False}), Row("w/o NF", "no-nf", {"neck_face": False}),
        Row("w/o AL", "no-al", {"arms_legs": False}), Row("w/o Rescalings", "no-rescale", {"rescale": False}),
        Row("w/o Realign", "no-realign", NO_REALIGN), FULL),
    6: tuple(Row(f"lambda {p} %", f"lambda-{p}", {"probability": p / 100}) for p in (100, 98, 95, 90, 80)),
}  # fmt: skip

Table = list[dict[str, Any]]


def alpha_specs(base: MethodSpec, values: Sequence[float]) -> tuple[MethodSpec, ...]:
    """The checkpoint at each weight. Raises ValueError when it is no checkpoint or a value comes twice."""
    if base.kind != "checkpoint":
        raise ValueError(f"{base.path}: a sweep of alpha needs a checkpoint of ours, this is {base.kind}")
    if len(set(values)) < len(values) or not values:
        raise ValueError(f"values: expected different numbers, got {', '.join(map(str, values))}")
    return tuple(
        replace(base, name=f"alpha-{value:g}", options={**base.options, "alpha": f"{value:g}"}) for value in values
    )


def found_rows(table: int, folder: Path, sampling: str = "") -> tuple[list[MethodSpec], dict[str, str]]:
    """Methods for the rows of a table whose checkpoints are there, and row -> name of its method (empty: not run).

    sampling: options of every checkpoint, as in `parse_method`. Raises ValueError when the folder holds none, or when
    a checkpoint says that it was trained otherwise than its row.
    """
    specs, rows = [], {}
    for row in TABLES[table]:
        path = folder / f"{row.file}.safetensors"
        rows[row.name] = row.file if path.is_file() else ""
        if path.is_file():
            _check_row(row, path)
            specs.append(parse_method(f"{row.file}={path}" + (f",{sampling}" if sampling else "")))
    if not specs:
        files = ", ".join(f"{row.file}.safetensors" for row in TABLES[table])
        raise ValueError(f"{folder}: none of the checkpoints of table {table} is there: {files}")
    return specs, rows


def method_table(out: Path, methods: Sequence[str]) -> Table:
    """One row a method: its name and every metric that it has."""
    found = [(name, RunFolder(out).method_scores(name)) for name in methods]
    return [
        {"row": name} | {metric: value.value for metric, value in scores.values.items()}
        for name, scores in found
        if scores is not None
    ]


def write_table(out: Path, table: int, rows: Mapping[str, str], complete: Sequence[str]) -> Table:
    """The table in the paper's shape, into `table4.json` and so on; what was not run says so."""
    made = {row["row"]: row for row in method_table(out, complete)}
    filled: Table = []
    for row, method in rows.items():
        values = made.get(method, {})
        state = {} if values else {"state": NOT_RUN}
        filled.append({"row": row} | state | {name: values[name] for name in COLUMNS if name in values})
    setting = RunFolder(out).bench().setting
    write_json(out / f"table{table}.json", {"table": table, "setting": setting, "rows": filled})
    return filled


def write_curve(out: Path, what: str, points: Mapping[str, float]) -> Table:
    """A sweep into `sweep_alpha.json`: every metric at every value, and brought to 0..1 as in figure 13."""
    rows = {row.pop("row"): row for row in method_table(out, list(points))}
    names = [name for name in next(iter(rows.values())) if all(name in row for row in rows.values())]
    curve: Table = []
    for method, value in points.items():
        scaled = {name: _scaled(rows[method][name], [row[name] for row in rows.values()]) for name in names}
        curve.append({what: value, "values": {name: rows[method][name] for name in names}, "normalised": scaled})
    write_json(out / f"sweep_{what}.json", {"sweep": what, "points": curve})
    return [{"row": f"{what} {point[what]:g}"} | point["values"] for point in curve]


def as_text(rows: Table, *, turned: bool = False) -> str:
    """For a terminal, the paper's metrics first; ^ and v say which way is better. turned: a line for each metric."""
    names = [name for name in COLUMNS if any(name in row for row in rows)]
    names += [name for row in rows[:1] for name in row if name in METRICS and name not in names]
    heads = ["", *(f"{name} {'^' if METRICS[name].better == 'higher' else 'v'}" for name in names)]
    cells = [[str(row["row"]), *(_cell(row, name) for name in names)] for row in rows]
    table = [heads, *cells]
    if turned:
        table = [list(line) for line in zip(*table, strict=True)]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in table]
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _cell(row: Mapping[str, Any], name: str) -> str:
    if name in row:
        return f"{row[name]:.4g}"
    return str(row.get("state", "-"))


def _scaled(value: float, values: Sequence[float]) -> float:
    low, high = min(values), max(values)
    return (value - low) / (high - low) if high > low else 0.0


def _check_row(row: Row, path: Path) -> None:
    """Refuse a checkpoint that says it is another row's: a row changes what it holds and nothing else."""
    said = _said(path)
    wanted = {**dict.fromkeys(_EPI, True), **FULL.holds, **row.holds}
    for key, value in wanted.items():
        if key in said and said[key] != value:
            raise ValueError(f"{path}: {row.name} has {key} = {value!r}, this checkpoint was made with {said[key]!r}")
    if "probability" not in row.holds and said.get("probability") == 0:
        raise ValueError(f"{path}: {row.name} has probability above 0, this checkpoint was made with 0.0")


def _said(path: Path) -> dict[str, Any]:
    """What a model file tells of its network and of its training's data settings, where those left out are defaults."""
    import json
    from dataclasses import asdict

    from animatex_core.weights import load_state

    from ..augment import ReadSettings

    loaded = load_state(path, check_finite=False)
    config = loaded.config
    said: dict[str, Any] = {"motion_attention": config.unet.motion_attention}
    if config.ipi is not None:
        said["query"] = config.ipi.query
    training = json.loads(loaded.metadata.get("training", "{}"))
    settings = ((training.get("config") or {}).get("data") or {}).get("settings")
    return said if settings is None else said | asdict(ReadSettings()) | settings
