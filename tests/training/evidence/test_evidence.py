"""Records, bars, differences, tables and the leak test, on numbers and pictures that are small enough to count."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from animatex_training.evaluation.cases import write_case, write_set
from animatex_training.evaluation.records import Bench, CaseScores, MethodScores, RunFolder, Value
from animatex_training.evaluation.settings import Options
from animatex_training.evidence.__main__ import main
from animatex_training.evidence.bars import bar_rows, bars
from animatex_training.evidence.driven import driven_errors
from animatex_training.evidence.joint_parts import PARTS, by_part, part_errors, part_rows
from animatex_training.evidence.leak import Leak, Moved, measure_leak, read_leak, write_leak
from animatex_training.evidence.records import GROUPS, Record, gather, read_record, write_record
from animatex_training.evidence.sheet import sheet
from animatex_training.evidence.statistics import difference
from animatex_training.evidence.tables import TABLES, read_folder, rewritten

from animatex_core.pose.io import save_openpose
from animatex_core.pose.keypoints import POINTS, PoseSequence
from tests.training.evaluation.small_set import write_frames

DOCS = Path(__file__).parents[3] / "docs"
BARS = ("joint_error", "extra_limb_rate", "colour_distance")


def record(**methods):
    """4 characters in 2 motions, of two groups."""
    characters = [name for name in ("child", "doll", "penguin", "mouse") for _ in range(2)]
    groups = [GROUPS[0]] * 2 + [GROUPS[1]] * 2 + [GROUPS[2]] * 4
    cases = [f"{name}-{number % 2}" for number, name in enumerate(characters)]
    values = {name: {metric: tuple(map(float, v)) for metric, v in found.items()} for name, found in methods.items()}
    return Record("cross", {}, tuple(cases), tuple(characters), tuple(groups), {name: {} for name in methods}, values)


def level(*values):
    return {name: [value] * 8 for name, value in zip(BARS, values, strict=True)}


ORACLES = {"still": level(20, 0.6, 0.01), "warp": level(6, 0.01, 0.02), "wrong": level(9, 0.7, 0.3)}


def test_bars_hold_in_all_and_by_group():
    good = record(mini=level(8, 0.04, 0.1), **ORACLES)
    assert all(bar.passed for bar in bars(good, "mini"))
    values = level(8, 0.04, 0.1)
    values["joint_error"] = [8, 8, 8, 8, 12, 12, 12, 12]
    mixed = record(mini=values, **ORACLES)
    assert [bar.passed for bar in bars(mixed, "mini")] == [False, False, True, True]  # 10 px: not below 10, nor 9
    assert all(bar.passed for bar in bars(mixed, "mini", group=GROUPS[0]))
    rows = bar_rows(mixed, "mini", None, None)
    assert rows[0] == ["bar", "all", *GROUPS[:3]] and rows[1][1:] == [
        "**10, not < 10**", "8 < 10", "8 < 10", "**12, not < 10**"
    ]  # fmt: skip
    assert rows[-1][1] == "not run"
    with pytest.raises(ValueError, match="no method 'other'"):
        bars(good, "other")


def test_differences_are_paired_and_drawn_by_character():
    one = record(mini={"joint_error": [1, 1, 2, 2, 3, 3, 4, 4]})
    other = record(mini={"joint_error": [0, 0, 0, 0, 0, 0, 0, 0]})
    found = difference((one, "mini"), (other, "mini"), "joint_error")
    assert found.mean == 2.5 and found.characters == 4 and found.low < 1.9 < 3.1 < found.high
    shifted = record(mini={"joint_error": [5, 6, 7, 8, 9, 10, 11, 12]})
    same = record(mini={"joint_error": [4, 5, 6, 7, 8, 9, 10, 11]})
    found = difference((shifted, "mini"), (same, "mini"), "joint_error")
    assert (found.mean, found.low, found.high) == (1, 1, 1)  # cases differ, the difference does not
    group = difference((one, "mini"), (other, "mini"), "joint_error", GROUPS[2])
    assert group.mean == 3.5 and group.characters == 2
    alone = difference((one, "mini"), (other, "mini"), "joint_error", GROUPS[0])
    assert alone.mean == 1 and np.isnan([alone.low, alone.high]).all()


SAMPLED = {"kind": "checkpoint", "sha256": {"model": "aa"}, "sampling": {"steps": 6, "seed": 1}}
SIZES = {"width": 128, "height": 192, "frames": 16, "start": 0, "stride": 1, "align": "off"}


def kept(path, options=SIZES, facts=SAMPLED):
    """A record in a file, of a model and the oracles."""
    made = replace(record(mini=level(8, 0.04, 0.1), **ORACLES), options=options)
    write_record(path, replace(made, methods=made.methods | {"mini": facts}))
    return read_record(path)


@pytest.mark.parametrize("name", ["width", "height", "frames", "start", "stride"])
def test_records_that_were_measured_otherwise_are_not_compared(tmp_path, name):
    one, other = kept(tmp_path / "one.json"), kept(tmp_path / "other.json", SIZES | {name: 7, "align": "full"})
    for compared in (
        lambda: difference((one, "mini"), (other, "mini"), "joint_error"),
        lambda: bars(one, "mini", other),
    ):
        with pytest.raises(ValueError, match=rf"one\.json and .*other\.json: options\.{name}: .* and 7"):
            compared()
    later = replace(other, version="2")
    with pytest.raises(ValueError, match=r"one\.json and .*other\.json: version of the set: 1 and 2"):
        bars(one, "mini", later)


def test_joints_that_other_networks_found_are_not_compared(tmp_path, capsys):
    one = replace(kept(tmp_path / "one.json"), joints="aa" * 32)
    write_record(tmp_path / "one.json", one)
    assert read_record(tmp_path / "one.json").joints == one.joints
    before = kept(tmp_path / "before.json")
    for compared in (
        lambda: difference((one, "mini"), (before, "mini"), "joint_error"),
        lambda: bars(one, "mini", before),
    ):
        with pytest.raises(ValueError, match=r"before\.json: keypoint network: aaaaaaaa and not told"):
            compared()
    assert difference((one, "mini"), (before, "mini"), "extra_limb_rate").mean == 0
    assert main(["compare", *(str(tmp_path / name) for name in ("one.json", "before.json"))]) == 0
    told = capsys.readouterr().out
    assert "| joint_error | not told by which network |" in told and "| extra_limb_rate | +0 " in told


def test_methods_that_sample_otherwise_are_not_compared(tmp_path):
    one, aligned = kept(tmp_path / "one.json"), kept(tmp_path / "aligned.json", SIZES | {"align": "full"})
    more = kept(tmp_path / "more.json", facts=SAMPLED | {"sampling": {"steps": 30, "seed": 1}})
    trained = kept(tmp_path / "trained.json", facts=SAMPLED | {"sha256": {"model": "bb"}})
    assert difference((one, "mini"), (aligned, "mini"), "joint_error", same_method=True).mean == 0
    assert difference((one, "mini"), (trained, "mini"), "joint_error").mean == 0
    assert difference((one, "mini"), (more, "still"), "joint_error").mean == -12
    with pytest.raises(ValueError, match=r"one\.json .*more\.json .*: method\.sampling\.steps: 6.* and 30"):
        difference((one, "mini"), (more, "mini"), "joint_error")
    with pytest.raises(ValueError, match=r"one\.json .*trained\.json .*: method\.sha256\.model: 'aa' and 'bb'"):
        difference((one, "mini"), (trained, "mini"), "joint_error", same_method=True)


def test_alignment_at_inference_is_a_contrast_of_one_network(tmp_path):
    text = "".join(f"<!-- table: {name} -->\nold\n<!-- end -->\n" for name in TABLES)
    kept(tmp_path / "cross.json")
    kept(tmp_path / "no-epi-cross.json", facts=SAMPLED | {"sha256": {"model": "bb"}})
    kept(tmp_path / "cross-aligned.json", SIZES | {"align": "full"})
    filled = rewritten(text, tmp_path)
    for words in ("aligned at inference, trained with EPI", "trained with EPI, not aligned"):
        assert f"| {words} | not run | not run | +0.000 (+0.000 to +0.000) |" in filled
    kept(tmp_path / "cross-aligned.json", SIZES | {"align": "full"}, SAMPLED | {"sha256": {"model": "cc"}})
    with pytest.raises(ValueError, match=r"cross-aligned\.json .*cross\.json .*: method\.sha256\.model"):
        rewritten(text, tmp_path)


def test_a_record_is_kept_and_a_broken_one_named(tmp_path):
    one = record(mini=level(8.123456, 0.04, 0.1))
    write_record(tmp_path / "one.json", one)
    kept = read_record(tmp_path / "one.json")
    assert kept.of("mini", "joint_error")[0] == 8.12346 and kept.groups == one.groups
    (tmp_path / "two.json").write_text('{"format": 1}')
    with pytest.raises(ValueError, match=r"two\.json: no record"):
        read_record(tmp_path / "two.json")


def test_tables_say_what_was_not_run_and_change_with_the_records(tmp_path):
    text = "".join(f"<!-- table: {name} -->\nold\n<!-- end -->\n" for name in TABLES)
    empty = rewritten(text, tmp_path)
    assert "old" not in empty and "| S3 cross | 0 | not run |" in empty and rewritten(empty, tmp_path) == empty
    write_record(tmp_path / "cross-aligned.json", record(mini=level(8, 0.04, 0.1), **ORACLES))
    write_record(tmp_path / "cross.json", record(mini=level(9, 0.08, 0.1)))
    write_leak(tmp_path / "leak.json", Leak("mini", (Moved("child", 0.01, 0.2, 0.03, 2),)))
    filled = rewritten(text, tmp_path)
    assert "| S3 cross, aligned at inference | 8 | not run | not run | 0.040 |" in filled
    assert "| humans in range | 2 |" in filled and "| objects | 0 |" in filled
    assert "| aligned at inference, trained with EPI | not run | not run | -0.040 (-0.040 to -0.040) |" in filled
    assert "| leak test | 0.05 < 0.1 |" in filled and "| child | 0.0100 | 0.200 | 5.0 % | 0.0300 |" in filled
    with pytest.raises(ValueError, match="tables of the document"):
        rewritten(text.replace("oracles", "others"), tmp_path)


def test_the_document_says_what_its_records_say():
    text = (DOCS / "evidence.md").read_text(encoding="utf-8")
    assert rewritten(text, DOCS / "evidence") == text, "run python -m animatex_training.evidence tables"
    read_folder(DOCS / "evidence")


def picture(inside, behind=(200, 230, 200)):
    frame = np.full((48, 32, 3), behind, np.uint8)
    frame[10:40, 8:24] = inside
    return frame


def write_small(root, name, driver, result):
    """A set with one case, and a run of it whose method made one colour."""
    points = np.full((2, 1, POINTS, 2), 12, np.float32)
    poses = PoseSequence(points, np.ones(points.shape[:3], np.float32), 32, 48, 12.0)
    case, run = root / name / "mouse-jump", RunFolder(root / f"run-{name}")
    case.mkdir(parents=True)
    write_frames(case / "video", [picture((200, 30, 30))] * 2)
    write_frames(case / "mask", [picture((255, 255, 255), (0, 0, 0))] * 2)
    write_frames(case / "driver", [picture(driver)] * 2)
    write_frames(root / "one", [picture((200, 30, 30))])
    (root / "one/00000.png").rename(case / "image.png")
    (root / "one").rmdir()
    (case / "prompt.txt").write_text("")
    for file in ("poses.json", "driver_poses.json"):
        save_openpose(case / file, poses)
    write_case(case, license="CC0", source="drawn", fps=12.0, character="mouse", kind="out of range", motion="jump")
    write_set(root / name, name, "1", ["mouse-jump"], ["mouse-jump"])
    options = Options(setting="cross", width=32, height=48, frames=2)
    methods = {"inputs": options.facts(), "methods": {"mini": {"kind": "results"}}}
    run.write(Bench("cross", ("mouse-jump",), ("mini",), methods, {}))
    run.write(CaseScores("mini", "mouse-jump", 2, 32, 48, "", {"joint_error": Value(3.0, 2, (2.0, 4.0))}))
    run.write(MethodScores("mini", ("mouse-jump",), "", {}))
    place = run.case("mouse-jump")
    for part, colour in (("truth", (200, 30, 30)), ("poses", (0, 0, 0))):
        write_frames(place / part, [picture(colour)] * 2)
    write_frames(place / "mask", [picture((255, 255, 255), (0, 0, 0))] * 2)
    write_frames(run.frames("mini", "mouse-jump"), [picture(result)] * 2)
    (place / "reference.png").write_bytes((case / "image.png").read_bytes())
    return root / name, run.root


def test_the_leak_test_sees_who_wears_the_drivers_clothes(tmp_path, capsys):
    one = write_small(tmp_path, "own", (30, 30, 200), (200, 30, 30))
    same = write_small(tmp_path, "same", (30, 200, 30), (201, 30, 30))
    leaky = write_small(tmp_path, "leaky", (30, 200, 30), (120, 110, 30))
    steady = measure_leak((one[1], same[1]), (one[0], same[0]), "mini")
    assert steady.passed and steady.share < 0.02 and steady.characters[0].character == "mouse"
    moved = measure_leak((one[1], leaky[1]), (one[0], leaky[0]), "mini")
    assert not moved.passed and moved.share > 0.3
    write_leak(tmp_path / "leak.json", steady)
    assert read_leak(tmp_path / "leak.json").share == pytest.approx(steady.share, rel=0.01)
    places = [str(path) for path in (one[1], leaky[1], "--sets", one[0], leaky[0])]
    assert main(["leak", *places]) == 1 and "above the limit: mouse" in capsys.readouterr().out
    with pytest.raises(ValueError, match="no method 'x'"):
        measure_leak((one[1], same[1]), (one[0], same[0]), "x")
    bench = RunFolder(same[1]).bench()
    other = {"mini": {"kind": "results", "resize": "no"}}
    RunFolder(same[1]).write(replace(bench, options=bench.options | {"methods": other}))
    with pytest.raises(ValueError, match=r"run-own and .*run-same: options\.method mini\.resize: None and 'no'"):
        measure_leak((one[1], same[1]), (one[0], same[0]), "mini")
    RunFolder(same[1]).write(replace(bench, options=bench.options | {"set": {"version": "2"}}))
    with pytest.raises(ValueError, match="versions 1 and 2"):
        measure_leak((one[1], same[1]), (one[0], same[0]), "mini")


def test_a_leak_test_of_another_version_of_the_set_is_refused(tmp_path):
    write_leak(tmp_path / "leak.json", Leak("mini", (Moved("child", 0.01, 0.2, 0.03, 2),), version="2"))
    found = read_leak(tmp_path / "leak.json")
    assert found.version == "2"
    with pytest.raises(ValueError, match="version 2 of the set, the record of 1"):
        bar_rows(record(mini=level(8, 0.04, 0.1), **ORACLES), "mini", None, found)


def standing_at(x, y):
    """A person of 14 joints in two frames, the neck at (x, y)."""
    body = [(0, -5), (0, 0), (-3, 0), (-4, 4), (-4, 8), (3, 0), (4, 4), (4, 8),
            (-2, 10), (-2, 16), (-2, 22), (2, 10), (2, 16), (2, 22)]  # fmt: skip
    points, scores = np.zeros((2, 1, POINTS, 2), np.float32), np.zeros((2, 1, POINTS), np.float32)
    points[:, 0, :14], scores[:, 0, :14] = np.add(body, (x, y)), 1
    return PoseSequence(points, scores, 32, 48, 12.0)


def test_the_aligned_pose_is_compared_with_the_truth(tmp_path, capsys):
    folder, _ = write_small(tmp_path, "own", (30, 30, 200), (200, 30, 30))
    case = folder / "mouse-jump"
    with pytest.raises(ValueError, match="mouse-jump: needs poses"):
        driven_errors(folder)
    save_openpose(case / "driver_poses.json", standing_at(20, 20))
    save_openpose(case / "image_pose.json", standing_at(12, 18))
    save_openpose(case / "poses.json", standing_at(12, 18))
    assert driven_errors(folder)[GROUPS[2]] == pytest.approx([0], abs=1e-5)
    save_openpose(case / "poses.json", standing_at(15, 22))
    assert driven_errors(folder)[GROUPS[2]] == pytest.approx([5])
    assert main(["driven", str(folder)]) == 0
    assert "| aligned pose to true pose, px | 5.0 | 5.0 |" in capsys.readouterr().out
    assert main(["driven", str(folder), "--parts"]) == 0
    assert f"| {GROUPS[2]} | 1 | 5.0 | - | 5.0 |" in capsys.readouterr().out


class Sees:
    """Stands in for the keypoint network: finds joints `off` pixels from their places, or where they are in red."""

    def __init__(self, poses, off):
        self.places, self.off = poses.points[:, 0, :18], off

    def find(self, frames):
        return self.places + (0 if frames[0, 20, 12, 0] == 200 else np.array(self.off))


def test_joint_errors_are_told_part_by_part_beside_the_truths(tmp_path, capsys, monkeypatch):
    folder, run = write_small(tmp_path, "own", (30, 30, 200), (30, 30, 200))  # the truth is red, the result is not
    with pytest.raises(ValueError, match="no case of 'other' is made"):
        part_errors(run, folder, Sees(standing_at(12, 18), (3, 4)), "other")
    with pytest.raises(ValueError, match="other/mouse-jump: no frames there"):
        part_errors(run, folder, Sees(standing_at(12, 18), (3, 4)), "other", ["mouse-jump"])
    poses = standing_at(12, 18)
    save_openpose(folder / "mouse-jump/poses.json", poses)
    network = Sees(poses, (3, 4))
    rows = part_rows(part_errors(run, folder, network, "mini"))
    assert rows[0][:4] == ["characters", "cases", "nose, eyes", "ears"] and [row[0] for row in rows[1:]] == [
        "all", GROUPS[2]
    ]  # fmt: skip
    assert rows[1][1:4] == ["1", "5.0 (0.0)", "-"] and set(rows[1][4:]) == {"5.0 (0.0)"}  # it has no ears
    monkeypatch.setattr("animatex_training.evaluation.metrics.mini_keypoints.load_keypoints", lambda path: network)
    asked = ["--joints", "any", "--cases", "mouse-jump, mouse-jump"]
    assert main(["parts", str(run), "--set", str(folder), *asked]) == 0
    assert "| all | 1 | 5.0 (0.0) |" in capsys.readouterr().out
    save_openpose(folder / "mouse-jump/poses.json", replace(poses, width=64, height=96))
    with pytest.raises(ValueError, match="mouse-jump: frames and poses of the set differ: 2 of 32x48 and 2 of 64x96"):
        part_errors(run, folder, network, "mini")


def test_the_mean_of_a_part_is_over_the_cases_that_have_it():
    lacking = np.full((2, len(PARTS)), np.nan)
    rows = part_rows({GROUPS[0]: [np.full((2, 9), 4.0), np.full((2, 9), 2.0)], GROUPS[3]: [lacking]})
    assert rows[1][:3] == ["all", "3", "3.0 (3.0)"] and rows[2][2] == "3.0 (3.0)" and rows[3][2] == "-"
    distances = np.arange(36.0).reshape(2, 18)
    there = np.zeros((2, 18), bool)
    there[0, 4] = there[1, 4] = there[1, 7] = True
    parts = by_part(distances, there)
    assert parts[list(PARTS).index("wrists")] == (4 + 22 + 25) / 3 and np.isfinite(parts).sum() == 1


def test_parts_of_another_version_of_the_set_are_refused(tmp_path):
    folder, run = write_small(tmp_path, "own", (30, 30, 200), (30, 30, 200))
    write_set(folder, "own", "2", ["mouse-jump"], ["mouse-jump"])
    with pytest.raises(ValueError, match=r"is of version 1, .* of 2"):
        part_errors(run, folder, Sees(standing_at(12, 18), (3, 4)), "mini")


def test_records_and_sheets_come_from_runs(tmp_path):
    folder, run = write_small(tmp_path, "own", (30, 30, 200), (200, 30, 30))
    found = gather(run, folder)
    with pytest.raises(ValueError, match="there is no case 'other'"):
        gather(run, folder, cases=["other"])
    assert found.groups == (GROUPS[2],) and found.of("mini", "joint_error").tolist() == [3.0]
    assert sheet(run, folder, ["mini"], columns=1).shape == (52, 32 + 4 + 4 * 32, 3)
    with pytest.raises(ValueError, match="no case 'other'"):
        sheet(run, folder, ["mini"], ["other"])
    assert main(["record", str(run), "--set", str(folder), "--out", str(tmp_path / "r.json")]) == 0
    assert read_record(tmp_path / "r.json").values == found.values
