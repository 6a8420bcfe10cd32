"""Tables: the best is marked where numbers can be compared, and only there; the paper's are as printed."""

import pytest
from animatex_training.evaluation.records import Bench, MethodScores, Value
from animatex_training.evaluation.report.columns import absent, by_preset, column, number
from animatex_training.evaluation.report.quoted import ABLATIONS, SELF_DRIVEN, quoted
from animatex_training.evaluation.report.tables import as_text, method_table, ranks, settings_of

BENCH = Bench("self", ("cat", "egg"), ("a", "b", "c"), {}, {})


def scores(values, cases=("cat", "egg"), **settings):
    return MethodScores("x", cases, "", {name: Value(value, 2, None, settings) for name, value in values.items()})


def marks(table, name):
    place = [one.name for one in table.columns].index(name)
    return [row.cells[place].rank for row in table.rows]


@pytest.mark.parametrize(
    ("values", "better", "expected"),
    [
        ([3, 1, 2], "higher", ["best", "", "second"]),
        ([3, 1, 2], "lower", ["", "best", "second"]),
        ([2, 2, 1, 0], "higher", ["best", "best", "second", ""]),
        ([None, 5.0, 4.0], "lower", ["", "second", "best"]),
        ([None, 5.0], "lower", ["", ""]),
        ([1, 2], "", ["", ""]),
    ],
)
def test_ranks(values, better, expected):
    assert ranks(values, better) == expected


def test_arrows_and_presets_come_from_the_table_of_metrics():
    groups = by_preset(["lpips_alex", "psnr_disco", "psnr", "own_idea"])
    assert [one.name for one in groups["clean"]] == ["psnr", "lpips_alex"] and len(groups["disco"]) == 1
    assert [one.arrow for one in groups["clean"]] == ["\u2191", "\u2193"]
    assert groups["other"] == [column("own_idea")] and not groups["other"][0].arrow
    assert "ssim" in {one.name for one in absent(["psnr"], "clean")} and not absent([], "other")


def test_best_and_second_of_methods_by_the_metric_direction():
    found = {
        name: scores({"psnr": p, "lpips_alex": v}) for name, p, v in (("a", 30, 0.2), ("b", 20, 0.1), ("c", 25, 0.3))
    }
    table = method_table(BENCH, found, [column("psnr"), column("lpips_alex")])
    assert marks(table, "psnr") == ["best", "", "second"] and marks(table, "lpips_alex") == ["second", "best", ""]
    assert not table.notes


def test_what_cannot_be_compared_is_shown_without_a_rank():
    found = {"a": scores({"psnr": 40}, cases=("cat",)), "b": scores({"psnr": 20}), "c": None}
    table = method_table(BENCH, found, [column("psnr")])
    assert marks(table, "psnr") == ["", "", ""] and [row.cells[0].text for row in table.rows] == [
        "40.00",
        "20.00",
        "\u2013",
    ]
    assert table.notes == ("a: measured on 1 of 2 cases, so not ranked", "c: not measured yet")
    found |= {"a": scores({"psnr": 40}, size=512), "c": scores({"psnr": 1}, size=256)}
    found["b"] = scores({"psnr": 20}, size=512)
    table = method_table(BENCH, found, [column("psnr")])
    assert marks(table, "psnr") == ["", "", ""] and table.notes == (
        "PSNR: measured with different settings, so not ranked",
    )
    ((_, count, settings),) = settings_of(found, table.columns)
    assert count == "2" and settings == "size: 256 | size: 512"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (36.104, "36.10"),
        (1117.288, "1117.29"),
        (0.4249, "0.4249"),
        (8.92e-5, "8.92E-05"),
        (-3.14159, "-3.142"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_settings_as_text():
    assert as_text("{}") == "none"
    assert (
        as_text('{"range": 255.0, "window": [11, 11], "weights": "ab"}') == "range: 255; window: [11, 11]; weights: ab"
    )


def test_the_paper_is_quoted_only_where_our_copy_has_numbers():
    assert quoted("cross") is None and quoted("long") is None and quoted("tiktok-335-340") is None
    two, five = quoted("self"), quoted("rescaled")
    assert two.caption == "Quoted from the paper, Table 2, self-driven; other data and settings"
    assert len(two.table.rows) == 10 and len(five.table.rows) == 14
    for quote in (two, five):
        assert "L1" in {one.label: one for one in quote.table.columns if one.better == "lower"}
        assert not any(row.method for row in quote.table.rows)
    last = two.table.rows[-1]
    assert last.label == "Animate-X" and {cell.rank for cell in last.cells} == {"best"}
    assert [cell.text for cell in last.cells] == ["14.10", "0.463", "8.92E-05", "0.425", "31.58", "33.15", "849.19"]
    assert [row.label for row in five.table.rows if row.cells[0].rank] == ["w/o LQ", "Animate-X"]


def test_l1_of_table_5_contradicts_psnr_in_five_rows():
    """A mean absolute error cannot be above the root mean square error that PSNR* tells; frames of 768x512."""
    pixels = 768 * 512

    def too_large(row):
        return row[2] * pixels > 255 / 10 ** (row[0] / 20)

    assert [name for name, row in ABLATIONS.items() if too_large(row)] == [
        "w/o LQ", "w/o EPI", "w/o Add", "w/o Drop", "w/o NF",
    ]  # fmt: skip
    assert not any(map(too_large, SELF_DRIVEN.values()))
