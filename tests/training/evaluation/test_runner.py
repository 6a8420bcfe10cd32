"""A run on a tiny set: it orders methods, changes nothing when done, goes on when killed, and refuses mixtures."""

import hashlib
import json
import shutil

import numpy as np
import pytest
from animatex_training.evaluation.cases import SetError
from animatex_training.evaluation.frames import read_clip
from animatex_training.evaluation.measuring import Measuring
from animatex_training.evaluation.methods import MethodError, open_method, parse_method
from animatex_training.evaluation.records import RunFolder
from animatex_training.evaluation.runner import Request, run
from animatex_training.evaluation.settings import Options

from tests.training.evaluation.small_set import FRAMES, SIZE, write_frames, write_small_set

SELF = Options(width=SIZE[0], height=SIZE[1], frames=FRAMES)
QUICK = {"only": ["psnr", "mae", "psnr_disco"]}
KID = "kid_proxy_efficientnet_lite0"


def contents(folder):
    return {
        str(p.relative_to(folder)): (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def write_methods(root, clips, cases):
    """copy, little noise, much noise and the next case's clip, as folders of results."""
    rng = np.random.default_rng(0)
    for number, case in enumerate(cases):
        truth = clips[number].frames
        noise = rng.normal(size=truth.shape)
        made = {"copy": truth, "other": clips[(number + 1) % len(cases)].frames}
        made |= {f"noise{s}": np.clip(truth + s * noise, 0, 255).astype(np.uint8) for s in (8, 40)}
        for name, frames in made.items():
            write_frames(root / name / case, frames)
    return tuple(parse_method(f"{name}={root / name}") for name in ("copy", "noise8", "noise40", "other"))


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    root = tmp_path_factory.mktemp("bench")
    folder, clips = write_small_set(root / "set")
    return folder, write_methods(root / "results", clips, ["case0", "case1", "case2"])


@pytest.fixture
def request_(sets, tmp_path):
    return Request(folder=sets[0], out=tmp_path / "run", setting="self", options=SELF, methods=sets[1], metrics=QUICK)


def changed(request, **changes):
    return Request(**{**{f: getattr(request, f) for f in request.__dataclass_fields__}, **changes})


def test_a_run_orders_methods_and_a_second_one_changes_nothing(request_):
    request_ = changed(request_, metrics={"only": [*QUICK["only"], "ssim", "l1_disco"]})
    done = run(request_)
    assert (done.cases, done.made, done.scored, done.reused) == (3, 12, 12, 0)
    assert done.complete == ("copy", "noise8", "noise40", "other")
    folder = RunFolder(request_.out)
    values = {name: folder.method_scores(name).values for name in done.complete}
    for metric, sign in (("psnr", -1), ("ssim", -1), ("mae", 1), ("psnr_disco", -1), ("l1_disco", 1)):
        row = [sign * values[name][metric].value for name in ("copy", "noise8", "noise40")]
        assert row == sorted(row) and row[0] < row[1] < row[2], metric
    assert values["copy"]["psnr"].value == 100 and values["copy"]["mae"].value == 0
    assert values["other"]["psnr"].value < 20
    before = contents(request_.out)
    again = run(request_)
    assert (again.made, again.scored, again.reused) == (0, 0, 24) and contents(request_.out) == before
    bench = folder.bench()
    assert bench.versions["torch"] and bench.options["metrics"]["backbones"]["proxy"]


def test_sets_of_clips_are_compared(request_, sets):
    options = Options(width=SIZE[0], height=SIZE[1], frames=FRAMES, skip_first=True)
    few = {"cases": ("case0",), "methods": (sets[1][0], sets[1][2]), "options": options}
    done = run(changed(request_, metrics={"only": [KID]}, **few))
    copy, noise = (RunFolder(request_.out).method_scores(name).values[KID] for name in done.complete)
    assert copy.value < noise.value and copy.n == FRAMES - 1 and copy.settings["weights"] == "mini_vision.safetensors"


def test_a_run_goes_on_after_any_end(request_, monkeypatch):
    whole = run(request_)
    expected = {name: digest for name, (digest, _) in contents(request_.out).items()}
    shutil.rmtree(request_.out)
    score, calls = Measuring.score, []

    def dies(self, *arguments):
        calls.append(arguments)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score(self, *arguments)

    monkeypatch.setattr(Measuring, "score", dies)
    with pytest.raises(KeyboardInterrupt):
        run(request_)
    done = run(request_)
    assert done.made + done.scored + done.reused == 24 and done.reused == 11 and done.complete == whole.complete
    assert {name: digest for name, (digest, _) in contents(request_.out).items()} == expected


def test_what_was_changed_is_seen(request_, sets):
    request = changed(request_, methods=sets[1][:1])
    run(request)
    frame = request.out / "frames/copy/case1/00002.png"
    frame.write_bytes((request.out / "frames/copy/case1/00003.png").read_bytes())
    assert (run(request).made, run(request).made) == (1, 0)
    result = sets[1][0].path / "case2/00000.png"
    kept = result.read_bytes()
    result.write_bytes((sets[1][0].path / "case2/00001.png").read_bytes())
    done = run(request)
    assert (done.made, done.scored) == (1, 1)
    assert RunFolder(request.out).case_scores("copy", "case2").values["psnr"].value < 100
    assert RunFolder(request.out).method_scores("copy").values["psnr"].value < 100
    result.write_bytes(kept)
    inputs = json.loads((request.out / "cases/case0/inputs.json").read_text())
    (request.out / "cases/case0/inputs.json").write_text(json.dumps({**inputs, "digest": "other"}))
    shutil.rmtree(request.out / "features/copy")
    assert run(request).scored == 3
    before = contents(request.out)
    for name in ("truth/00001.png", "poses/00001.png", "reference.png"):
        (request.out / "cases/case0" / name).write_bytes(frame.read_bytes())
    (request.out / "cases/case1/truth/00004.png").unlink()
    run(request)
    after = contents(request.out)
    assert {name: digest for name, (digest, _) in after.items()} == {
        name: digest for name, (digest, _) in before.items()
    }


@pytest.mark.parametrize(("what", "place"), [("clip", "runner.write_clip"), ("seams", "measuring.Measuring.score")])
def test_an_interrupted_run_leaves_no_score_of_what_was_before(request_, sets, tmp_path, monkeypatch, what, place):
    shutil.copytree(sets[1][0].path, tmp_path / "mine")
    run(changed(request_, methods=(parse_method(f"mine={tmp_path / 'mine'}"),)))
    if what == "clip":
        (tmp_path / "mine/case0/00002.png").write_bytes((tmp_path / "mine/case0/00004.png").read_bytes())
    again = parse_method(f"mine={tmp_path / 'mine'}" + (",seams=4" if what == "seams" else ""))

    def dies(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"animatex_training.evaluation.{place}", dies)
    with pytest.raises(KeyboardInterrupt):
        run(changed(request_, methods=(again,)))
    folder = RunFolder(request_.out)
    assert folder.case_scores("mine", "case0") is None and folder.method_scores("mine") is None
    assert folder.case_scores("mine", "case1") is not None


def test_methods_of_another_truth_stand_in_no_table(request_, sets, tmp_path):
    folder, _ = write_small_set(tmp_path / "set")
    both = changed(request_, folder=folder, methods=sets[1][:2])
    run(both)
    picture = folder / "case1/video/00002.png"
    picture.write_bytes((folder / "case1/video/00004.png").read_bytes())
    before = contents(request_.out)
    with pytest.raises(ValueError, match=r"cases case1.*noise8 would be left"):
        run(changed(both, methods=sets[1][:1]))
    assert contents(request_.out) == before
    first = run(both, (1, 2))
    assert first.complete == (), "case1 is the other shard's, and its scores are of the former truth"
    assert RunFolder(request_.out).method_scores("copy") is None
    scores = [RunFolder(request_.out).case_scores("copy", case) for case in ("case0", "case1")]
    assert scores[0] is not None and scores[1] is None, "a score against the former truth is not there to be read"
    assert run(both, (2, 2)).complete == ("copy", "noise8")
    assert RunFolder(request_.out).method_scores("copy").values["psnr"].value < 100


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"options": Options(width=SIZE[0], height=SIZE[1], frames=4)}, r"options: inputs: frames: .*8.*4"),
        ({"cases": ("case0",)}, "cases"),
        ({"metrics": {"only": ["psnr"]}}, "options: metrics: metrics"),
        ({"setting": "tiktok-335-340"}, "expected the cases 00335"),
    ],
)
def test_another_configuration_is_refused(request_, sets, changes, message):
    run(changed(request_, methods=sets[1][:1]))
    before = contents(request_.out)
    with pytest.raises(ValueError, match=message):
        run(changed(request_, methods=sets[1][:1], **changes))
    assert contents(request_.out) == before


def test_methods_are_added_but_not_exchanged(request_, sets, tmp_path):
    run(changed(request_, methods=sets[1][:1]))
    done = run(changed(request_, methods=sets[1][1:2]))
    assert (done.made, RunFolder(request_.out).bench().methods) == (3, ("copy", "noise8"))
    other = parse_method(f"copy={sets[1][0].path},start=1")
    with pytest.raises(ValueError, match="method copy: start"):
        run(changed(request_, methods=(other,)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(ValueError, match="no run of the benchmark"):
        run(changed(request_, out=tmp_path / "full"))


def test_true_silhouettes_are_measured_where_a_case_has_them(request_, sets, tmp_path):
    folder, _ = write_small_set(tmp_path / "set", cases=1)
    frames, mask = (
        np.full((FRAMES, SIZE[1], SIZE[0], 3), 200, np.uint8),
        np.zeros((FRAMES, SIZE[1], SIZE[0], 3), np.uint8),
    )
    for number in range(FRAMES):
        frames[number, 30:70, 10 + number : 40 + number] = (20, 60, 120)
        mask[number, 30:70, 10 + number : 40 + number] = 255
    shutil.rmtree(folder / "case0/video")
    write_frames(folder / "case0/video", frames)
    write_frames(folder / "case0/mask", mask)
    limb = frames.copy()
    limb[:, 80:90, 10:40] = (20, 60, 120)
    for name, made in (("exact", frames), ("limb", limb)):
        write_frames(tmp_path / "results" / name / "case0", made)
    methods = tuple(parse_method(f"{name}={tmp_path / 'results' / name}") for name in ("exact", "limb"))
    only = {"only": ["silhouette_iou", "extra_limb_rate", "missing_part_rate"]}
    run(changed(request_, folder=folder, methods=methods, metrics=only))
    exact, limb = (RunFolder(request_.out).case_scores(name, "case0").values for name in ("exact", "limb"))
    assert exact["silhouette_iou"].value == 1 and exact["extra_limb_rate"].value == 0
    assert limb["extra_limb_rate"].value == pytest.approx(300 / 1200) and limb["missing_part_rate"].value == 0
    run(changed(request_, folder=folder, methods=methods, out=tmp_path / "no", metrics={**only, "mask": False}))
    assert not RunFolder(tmp_path / "no").case_scores("limb", "case0").values


def test_silhouettes_before_a_natural_background_are_left_out_and_said(request_, tmp_path, caplog):
    folder, _ = write_small_set(tmp_path / "set", cases=1)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    mask = np.zeros_like(frames)
    mask[:, 30:70, 10:40] = 255
    shutil.rmtree(folder / "case0/video")
    for place, shown in ((folder / "case0/video", frames), (folder / "case0/mask", mask)):
        write_frames(place, shown)
    write_frames(tmp_path / "results/case0", frames)
    only = {"only": ["silhouette_iou", "extra_limb_rate", "missing_part_rate", "psnr", "psnr_box"]}
    methods = (parse_method(f"mine={tmp_path / 'results'}"),)
    assert run(changed(request_, folder=folder, methods=methods, metrics=only)).complete == ("mine",)
    run_folder = RunFolder(request_.out)
    for scores in (run_folder.case_scores("mine", "case0"), run_folder.method_scores("mine")):
        assert set(scores.values) == {"psnr", "psnr_box"}
    told = [record.message for record in caplog.records if "silhouettes" in record.message]
    assert len(told) == 1 and "case0: mine: no metrics of silhouettes: frame 0: the background is not plain" in told[0]
    assert "segment" not in told[0]


def test_inputs_alone_come_first(request_, sets):
    inputs = changed(request_, methods=())
    assert run(inputs).made == 0 and (request_.out / "cases/case0/poses.json").is_file()
    before = contents(request_.out)
    done = run(changed(request_, methods=sets[1][:1]))
    assert done.complete == ("copy",) and RunFolder(request_.out).bench().options["metrics"]["backbones"]
    after = contents(request_.out)
    assert {name for name in before if before[name] != after[name]} == {"bench.json"}
    run(inputs)
    assert contents(request_.out) == after


def test_shards_make_the_whole(request_, tmp_path):
    run(changed(request_, out=tmp_path / "whole"))
    first = run(request_, (1, 2))
    assert (first.cases, first.complete) == (2, ())
    assert run(request_, (2, 2)).complete == ("copy", "noise8", "noise40", "other")
    shards, whole = ({n: d for n, (d, _) in contents(folder).items()} for folder in (request_.out, tmp_path / "whole"))
    assert shards == whole
    with pytest.raises(ValueError, match="shard"):
        run(request_, (3, 2))


def test_results_are_refused_before_the_work(request_, sets, tmp_path):
    shutil.copytree(sets[1][0].path, tmp_path / "few")
    few = parse_method(f"few={tmp_path / 'few'}")
    (tmp_path / "few/case1/00007.png").unlink()
    with pytest.raises(MethodError, match=r"few, case case1: 7 frames, expected 8"):
        run(changed(request_, methods=(sets[1][0], few)))
    assert not request_.out.exists()
    shutil.rmtree(tmp_path / "few/case1")
    with pytest.raises(MethodError, match="expected case1/"):
        run(changed(request_, out=tmp_path / "other", methods=(few,)))
    assert not (tmp_path / "other").exists()
    large = changed(
        request_, out=tmp_path / "third", methods=sets[1][:1], options=Options(width=32, height=48, frames=8)
    )
    with pytest.raises(MethodError, match="resize=stretch"):
        run(large)
    assert not large.out.exists()


def test_results_of_another_size_are_stretched_as_opencv_does(request_, sets, tmp_path):
    """Two columns become one: their mean, where a filter that smooths would look at four."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 256, (FRAMES, SIZE[1], 2 * SIZE[0], 3)).astype(np.uint8)
    write_frames(tmp_path / "wide/case0", wide)
    spec = parse_method(f"wide={tmp_path / 'wide'},resize=stretch")
    run(changed(request_, methods=(spec,), cases=("case0",)))
    made = np.stack(list(read_clip(request_.out / "frames/wide/case0"))).astype(float)
    assert np.abs(made - wide.astype(float).reshape(FRAMES, SIZE[1], SIZE[0], 2, 3).mean(3)).max() <= 1
    for values in (RunFolder(request_.out).case_scores("wide", "case0"), RunFolder(request_.out).method_scores("wide")):
        assert values.values["psnr"].settings["resized_from"] == [2 * SIZE[0], SIZE[1]]


@pytest.mark.parametrize("only", [["psnr", KID], [KID]])
def test_sizes_that_differ_between_cases_are_told_by_every_value(request_, tmp_path, sets, only):
    shutil.copytree(sets[1][0].path, tmp_path / "mixed")
    shutil.rmtree(tmp_path / "mixed/case1")
    write_frames(tmp_path / "mixed/case1", np.zeros((FRAMES, SIZE[1], 2 * SIZE[0], 3), np.uint8))
    spec = parse_method(f"mixed={tmp_path / 'mixed'},resize=stretch")
    given = {"methods": (sets[1][0], spec), "cases": ("case0", "case1"), "metrics": {"only": only}}
    run(changed(request_, **given))
    values = RunFolder(request_.out).method_scores("mixed").values
    assert set(values) == set(only)
    for value in values.values():
        assert value.settings["resized_from"] == [list(SIZE), [2 * SIZE[0], SIZE[1]]]
    assert all("resized_from" not in v.settings for v in RunFolder(request_.out).method_scores("copy").values.values())
    before = contents(request_.out)
    run(changed(request_, **given))
    assert contents(request_.out) == before


def test_metrics_that_were_asked_for_and_lack_their_network_are_an_error_before_the_work(request_):
    with pytest.raises(
        ValueError, match=r"fid \(no file of weights for inception\); fvd \(no file of weights for i3d\)"
    ):
        run(changed(request_, metrics={"only": ["psnr", "fvd", "fid"]}))
    assert not request_.out.exists()


def test_a_broken_case_is_said_before_the_work(request_, tmp_path):
    folder, _ = write_small_set(tmp_path / "set")
    (folder / "case2/poses.json").write_text("{}")
    with pytest.raises(SetError, match="case2: poses"):
        run(changed(request_, folder=folder))
    assert not request_.out.exists()


def test_the_first_frame_can_be_left_out(request_, sets):
    options = Options(width=SIZE[0], height=SIZE[1], frames=FRAMES, skip_first=True)
    run(changed(request_, options=options, methods=sets[1][:1]))
    score = RunFolder(request_.out).case_scores("copy", "case0")
    assert score.frames == FRAMES - 1 and len(score.values["psnr"].per_frame) == FRAMES - 1


@pytest.mark.parametrize("text", ["copy", "=x", "a b=.", "x=nowhere", "x=.,resize", "x=pyproject.toml"])
def test_methods_that_cannot_be_read(text):
    with pytest.raises(MethodError):
        parse_method(text)


@pytest.mark.parametrize("option", ["start=-1", "seams=-4"])
def test_negative_numbers_are_refused(tmp_path, option):
    with pytest.raises(MethodError, match="expected a whole number from 0 on, got '-"):
        open_method(parse_method(f"x={tmp_path},{option}"))
