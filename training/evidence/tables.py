"""The tables of `docs/evidence.md`, written between its markers from the records beside it.

<!-- table: oracles -->
...
<!-- end -->
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from animatex_core.atomic_file import replacing

from ..evaluation.metrics.table import METRICS
from .bars import bar_rows
from .leak import Leak, read_leak
from .records import GROUPS, Record, read_record
from .statistics import difference

NOT_RUN = "not run"
METHOD = "mini"  # the name of our model in every run
COLUMNS = (
    "silhouette_iou", "lpips_alex_box", "extra_limb_rate", "missing_part_rate", "joint_error", "joint_pck",
    "colour_distance", "psnr_box", "ssim_box",
)  # fmt: skip
ORACLES = {
    "target": "the target itself",
    "vae": "the target through the mini VAE",
    "warp": "the reference, moved by the skeleton",
    "still": "the reference, still",
    "wrong": "another character, in the motion",
}
SETTINGS = {
    "self": "S1 self-driven",
    "rescaled": "S2 rescaled",
    "rescaled-aligned": "S2 rescaled, aligned at inference",
    "cross": "S3 cross",
    "cross-aligned": "S3 cross, aligned at inference",
    "cross-true": "S3 cross, the true poses drawn",
}
# Name of a contrast, the two records of which the second is taken from the first, and whether one network made both.
CONTRASTS = (
    ("aligned at inference, trained with EPI", "cross-aligned", "cross", True),
    ("aligned at inference, trained without EPI", "no-epi-cross-aligned", "no-epi-cross", True),
    ("trained with EPI, not aligned", "cross", "no-epi-cross", False),
    ("trained with EPI, aligned", "cross-aligned", "no-epi-cross-aligned", False),
    ("with IPI, not aligned", "cross", "no-ipi-cross", False),
    ("lambda 1 against 0, not aligned", "lambda-100-cross", "no-epi-cross", False),
    ("lambda 0.9 against 0.5, not aligned", "lambda-90-cross", "lambda-50-cross", False),
)
PRIMARY = ("silhouette_iou", "lpips_alex_box", "extra_limb_rate")
_BLOCK = re.compile(r"(<!-- table: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rewritten(text: str, folder: Path) -> str:
    """The document with every table as the records in a folder give it.

    Raises ValueError for a table that is not known, a known one that the document lacks, a damaged record, or two that
    do not belong together.
    """
    found = {match.group(2) for match in _BLOCK.finditer(text)}
    if found != set(TABLES):
        strange = sorted(found ^ set(TABLES))
        raise ValueError(f"tables of the document: expected each of {', '.join(TABLES)} once; see {strange[0]}")
    records, leak = read_folder(folder)

    def filled(match: re.Match[str]) -> str:
        return match.group(1) + markdown(TABLES[match.group(2)](records, leak)) + match.group(3)

    return _BLOCK.sub(filled, text)


def write_tables(document: Path, folder: Path) -> bool:
    """Rewrite a document where its tables changed; returns whether they did."""
    before = document.read_text(encoding="utf-8")
    after = rewritten(before, folder)
    if after == before:
        return False
    with replacing(document, overwrite=True) as temporary:
        temporary.write_text(after, encoding="utf-8")
    return True


def read_folder(folder: Path) -> tuple[dict[str, Record], Leak | None]:
    """Every record of a folder by its name, and the leak test where there is one."""
    paths = sorted(folder.glob("*.json"))
    records = {path.stem: read_record(path) for path in paths if path.stem != "leak"}
    return records, read_leak(folder / "leak.json") if (folder / "leak.json").is_file() else None


def markdown(rows: list[list[str]]) -> str:
    """Rows as a table; the first is its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]) + "\n"


def oracle_table(records: Mapping[str, Record], leak: Leak | None) -> list[list[str]]:
    """Oracles, means over all cases."""
    record = records.get("oracles")
    return [_head("oracle"), *(_means(words, record, name) for name, words in ORACLES.items())]


def settings_table(records: Mapping[str, Record], leak: Leak | None) -> list[list[str]]:
    """The mini model in every setting, means over all cases."""
    return [_head("setting"), *(_means(words, records.get(name), METHOD) for name, words in SETTINGS.items())]


def groups_table(records: Mapping[str, Record], leak: Leak | None) -> list[list[str]]:
    """The mini model as people use it, by group."""
    record = records.get("cross-aligned")
    return [_head("characters"), *(_means(group, record, METHOD, group) for group in GROUPS)]


def bars_table(records: Mapping[str, Record], leak: Leak | None) -> list[list[str]]:
    """The bars, in the setting that people use."""
    record = records.get("cross-aligned")
    if record is None or METHOD not in record.values or not record.has(METHOD, "joint_error"):
        return [["bar", "all"], ["all of them", NOT_RUN]]
    oracles = record if record.has("still", "joint_error") else records.get("oracles")
    return bar_rows(record, METHOD, oracles, leak)


def contrasts_table(records: Mapping[str, Record], leak: Leak | None) -> list[list[str]]:
    """Paired differences of out-of-range characters with their intervals."""
    rows = [["contrast", *(METRICS[name].display for name in PRIMARY)]]
    for words, one, other, same in CONTRASTS:
        pair = records.get(one), records.get(other)
        rows.append([words, *(_difference(pair[0], pair[1], metric, same) for metric in PRIMARY)])
    return rows


def leak_table(records: Mapping[str, Record], leak: Leak | None) -> list[list[str]]:
    """The leak test, by character."""
    head = ["character", "result moved", "reference to drivers", "share", "pixels moved"]
    if leak is None:
        return [head, ["all", *([NOT_RUN] * 4)]]
    rows = [
        [c.character, f"{c.moved:.4f}", f"{c.scale:.3f}", f"{100 * c.share:.1f} %", f"{c.pixels:.4f}"]
        for c in leak.characters
    ]
    return [head, *rows, ["all", "", "", f"{100 * leak.share:.1f} %", ""]]


TABLES: dict[str, Callable[[Mapping[str, Record], Leak | None], list[list[str]]]] = {
    "oracles": oracle_table, "settings": settings_table, "groups": groups_table, "bars": bars_table,
    "contrasts": contrasts_table, "leak": leak_table,
}  # fmt: skip


def _head(first: str) -> list[str]:
    return [first, "cases", *(METRICS[name].display for name in COLUMNS)]


def _means(words: str, record: Record | None, method: str, group: str = "") -> list[str]:
    if record is None or method not in record.values or (group and group not in record.groups):
        return [words, "0", *([NOT_RUN] * len(COLUMNS))]
    cells = [
        f"{record.of(method, name, group).mean():.{_digits(name)}f}" if record.has(method, name) else NOT_RUN
        for name in COLUMNS
    ]
    count = sum(group in ("", of) for of in record.groups)
    return [words, str(count), *cells]


def _digits(name: str) -> int:
    return 1 if name in ("psnr_box", "joint_error") else 3


def _difference(one: Record | None, other: Record | None, metric: str, same_method: bool) -> str:
    if one is None or other is None or not (one.has(METHOD, metric) and other.has(METHOD, metric)):
        return NOT_RUN
    found = difference((one, METHOD), (other, METHOD), metric, GROUPS[2], same_method=same_method)
    return f"{found.mean:+.3f} ({found.low:+.3f} to {found.high:+.3f})"
