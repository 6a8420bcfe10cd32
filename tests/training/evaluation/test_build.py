"""Prompts without repetition, clips chosen by score, poses screened, and sets from videos that are there."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from animatex_training.evaluation.build import generate as making
from animatex_training.evaluation.build.generate import liveliness
from animatex_training.evaluation.build.prompts import EXAMPLES, TEMPLATE, draw_prompts, read_answers, read_prompts
from animatex_training.evaluation.build.screen import Rules, judge, screen
from animatex_training.evaluation.build.words import OBJECTS
from animatex_training.evaluation.cases import SetError, open_set, validate, write_set
from animatex_training.evaluation.cli import main
from animatex_training.evaluation.extraction import Extraction
from animatex_training.evaluation.workflow import Workflow
from animatex_training.synthetic_clips import make_clips, write_clips
from PIL import Image

from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import empty
from tests.training.evaluation.small_set import FRAMES, write_frames, write_small_set
from tests.training.evaluation.test_runner import contents


def bench(*words):
    return main([str(word) for word in [*words, "--quiet"]])


def test_five_hundred_prompts_from_lists(tmp_path):
    assert bench("build", "prompts", tmp_path / "p.json") == 0
    prompts = read_prompts(tmp_path / "p.json")
    assert len({prompt.text for prompt in prompts}) == len({prompt.name for prompt in prompts}) == len(prompts) == 500
    assert prompts == draw_prompts(500, 0) != draw_prompts(500, 1)
    assert draw_prompts(40, 0) == prompts[:40]
    kinds = [prompt.kind for prompt in prompts]
    assert {kind: kinds.count(kind) for kind in OBJECTS} == dict.fromkeys(OBJECTS, 125)
    assert all(word in prompts[7].text for word in (prompts[7].object, prompts[7].season, prompts[7].place, "dancing"))
    with pytest.raises(ValueError, match="all that the lists can give"):
        draw_prompts(10**6)


def test_prompts_of_a_language_model(tmp_path, capsys):
    assert bench("build", "prompts", "--ask", "--count", 3) == 0
    asked = capsys.readouterr().out
    assert "Write 3 prompts" in asked and all(TEMPLATE.format(**example) in asked for example in EXAMPLES)
    (tmp_path / "answers.txt").write_text(
        "1. A cute teapot with arms and legs dances in the snow.\n"
        "2) A cute pear with arms and legs dances at night.\n\n"
        "- a cute TEAPOT with arms and legs dances in the snow\nSure!\n"
    )
    with pytest.raises(ValueError, match="2 usable prompts, expected 3; 1 repeat another, 1 are shorter"):
        read_answers(tmp_path / "answers.txt", 3)
    given = ["--answers", tmp_path / "answers.txt", "--count", 2, "--model", "any"]
    assert bench("build", "prompts", tmp_path / "p.json", *given) == 0
    assert read_prompts(tmp_path / "p.json")[1].text == "A cute pear with arms and legs dances at night."
    assert json.loads((tmp_path / "p.json").read_text())["origin"] == {"model": "any"}
    (tmp_path / "answers.json").write_text(json.dumps(["A lemon with arms and legs that dances"]))
    assert len(read_answers(tmp_path / "answers.json", 1)) == 1
    (tmp_path / "p.json").write_text('{"prompts": [{"name": "a", "words": "x"}]}')
    with pytest.raises(ValueError, match="expected the prompts"):
        read_prompts(tmp_path / "p.json")


def test_lively_clips_score_best():
    frames = make_clips(1, seed=1, frames=8)[0].frames
    other = make_clips(1, seed=2, frames=8)[0].frames
    still, cut = np.repeat(frames[:1], 8, 0), np.concatenate([frames[:4], other[:4]])
    image = frames[0]
    assert liveliness(image, list(still)) == 0 < liveliness(image, list(cut)) < liveliness(image, list(frames))
    assert liveliness(image, list(frames)) > liveliness(other[0], list(frames))


def test_more_prompts_become_more_cases_and_scores_stay(tmp_path, monkeypatch):
    def make(prompt, folder, server, plan, seed):
        frames = np.random.default_rng(seed).integers(0, 255, (3, 96, 64, 3), np.uint8)
        write_frames(folder / "video", frames)
        Image.fromarray(frames[0]).save(folder / "image.png")

    monkeypatch.setattr(making, "_make", make)
    (tmp_path / "flow.json").write_text("{}")
    flow = SimpleNamespace(path=tmp_path / "flow.json", slots={})
    plan = making.Plan(
        image=flow, video=flow, score=liveliness, score_name="liveliness", license="CC0", source="noise", fps=8.0,
        tries=1,
    )  # fmt: skip
    prompts, out = draw_prompts(4, 0), tmp_path / "set"
    names = [prompt.name for prompt in prompts]

    def generate(count):
        making.generate(prompts[:count], tmp_path / "tries", out, "noise", None, plan)

    generate(2)
    save_openpose(out / names[1] / "poses.json", make_clips(1, seed=1, frames=3, width=64, height=96, fps=8.0)[0].poses)
    write_set(out, "noise", "1", names[:2], names[1:2])
    for count, cases in ((4, names), (1, names)):
        generate(count)
        assert (open_set(out).cases, open_set(out).scored) == (tuple(cases), (names[1],)) and validate(out) == []


def test_poses_are_found_and_screened(tmp_path, capsys):
    folder, clips = write_small_set(tmp_path / "set", cases=3, references=1)
    good, shaky = clips[0].poses, clips[1].poses
    rng = np.random.default_rng(0)
    shaky = replace(shaky, points=shaky.points + rng.normal(size=shaky.points.shape).astype(np.float32) * 16)
    found = {0: good, 1: shaky, 2: empty(FRAMES, 64, 96)}
    calls = []

    def extract(frames):
        frames = list(frames)
        calls.append(len(frames))
        number = next(i for i, clip in enumerate(clips) if (clip.frames[0] == frames[0]).all())
        return replace(found[number].frames(slice(0, len(frames))), fps=None)

    own = contents(folder)
    screen(folder, Extraction(extract, {"backend": "fake"}), Rules())
    poses = [name for name in own if name.endswith(("poses.json", "image_pose.json"))]
    assert len(poses) == 6 and all(contents(folder)[name] == own[name] for name in poses) and not calls
    judged = screen(folder, Extraction(extract, {"backend": "fake"}), Rules(), again=True)
    opened = open_set(folder)
    assert opened.scored == ("case0",) and validate(folder) == [] and calls == [8, 1] * 3
    assert judged["case1"]["jitter"] > 0.24 and "jitter" in judged["case1"]["reasons"][-1]
    assert judged["case2"]["reasons"] == ["nobody was found in any frame"]
    assert judged["more0"]["reasons"] == ["there is no video"]
    assert load_openpose(opened.open("case0").poses).fps == 8.0 and (folder / "screening.png").is_file()
    before = contents(folder)
    screen(folder, Extraction(extract, {"backend": "fake"}), Rules())
    after = contents(folder)
    assert calls == [8, 1] * 3 and {n: d for n, (d, _) in before.items()} == {n: d for n, (d, _) in after.items()}
    mended = opened.open("case0").poses
    save_openpose(mended, replace(good, points=good.points * np.float32(0.99)))
    by_hand = mended.read_bytes()
    screen(folder, Extraction(extract, {"backend": "other"}), Rules())
    assert mended.read_bytes() == by_hand and calls[6:] == [1, 8, 1, 8, 1]
    assert bench("build", "poses", folder, "--accept", "case1", "--reject", "case0") == 0
    assert open_set(folder).scored == ("case1",) and "case0: not scored: rejected" in capsys.readouterr().out
    for words, message in ((("--accept", "case2"), "there are no poses"), (("--reject", "case9"), "case9")):
        assert bench("build", "poses", folder, *words) == 1
        assert message in capsys.readouterr().err
    assert bench("build", "poses", folder, "--jitter", 9) == 0  # both decisions are kept
    assert open_set(folder).scored == ("case1",) and "case0: not scored: rejected" in capsys.readouterr().out
    assert bench("build", "poses", folder, "--by-rules", "case0", "--reject", "case0") == 1
    assert "in two: case0" in capsys.readouterr().err
    kept = (folder / "screening.json").read_bytes()
    for broken in (b"{", b"[]", b'{"cases": 3}', b'{"cases": {"case0": 3}}'):
        (folder / "screening.json").write_bytes(broken)
        assert bench("build", "poses", folder) == 1 and (folder / "screening.json").read_bytes() == broken
        assert "screening.json: not what this command writes" in capsys.readouterr().err
    (folder / "screening.json").write_bytes(kept)
    assert bench("build", "poses", folder, "--jitter", 9, "--most", 1, "--by-rules", "case0,case1") == 0
    assert open_set(folder).scored == ("case0",)


def test_rules_are_about_the_clip():
    poses = make_clips(1, seed=3, frames=16)[0].poses
    assert judge(poses, Rules())["good"]
    scores = poses.scores.copy()
    scores[:2] = 0
    record = judge(replace(poses, scores=scores), Rules())
    assert not record["good"] and record["empty"] == 0.125


def test_a_set_of_videos(tmp_path, capsys):
    clips = make_clips(3, seed=5, frames=9)
    write_clips(tmp_path / "videos", clips)
    save_openpose(tmp_path / "videos/clip_001.json", replace(clips[1].poses.frames(slice(0, 9, 3)), fps=25 / 3))
    (tmp_path / "videos/clip_002.json").unlink()
    given = ["build", "videos", tmp_path / "videos", tmp_path / "set", "--name", "own", "--source", "rendered"]
    assert bench(*given) == 1 and "licence is not stated" in capsys.readouterr().err
    assert bench(*given, "--licence", "CC0", "--frames", 6) == 0 and validate(tmp_path / "set") == []
    found = open_set(tmp_path / "set")
    assert found.cases == ("clip_000", "clip_001", "clip_002") and found.scored == found.cases[:2]
    counts = [len(list((tmp_path / "set" / case / "video").iterdir())) for case in found.cases]
    assert counts == [6, 3, 6] and found.open("clip_001").fps == pytest.approx(25 / 3)
    before = contents(tmp_path / "set")
    assert bench(*given, "--licence", "CC0", "--frames", 6) == 0
    assert contents(tmp_path / "set") == before
    assert bench(*given, "--licence", "CC0", "--frames", 5) == 1
    assert "frames: the case was made with 6" in capsys.readouterr().err and contents(tmp_path / "set") == before
    write_set(tmp_path / "set", "own", "1", list(found.cases), ["clip_001"])
    assert bench(*given, "--licence", "CC0", "--frames", 6) == 0
    assert open_set(tmp_path / "set").scored == ("clip_001",), "screening is not undone"
    save_openpose(tmp_path / "videos/clip_000.json", replace(clips[0].poses, fps=17.0))
    assert bench(*given[:3], tmp_path / "other", *given[4:], "--licence", "CC0") == 1
    assert "no part of the video's 25" in capsys.readouterr().err


def test_poses_without_a_person_are_not_written(tmp_path, caplog):
    clips = make_clips(3, seed=5, frames=6)
    write_clips(tmp_path / "videos", clips)
    for number, hidden in enumerate((slice(0, 1), slice(0, 4), slice(0, 6))):  # of 6 frames, of which 4 are taken
        scores = clips[number].poses.scores.copy()
        scores[hidden] = 0
        save_openpose(tmp_path / f"videos/clip_00{number}.json", replace(clips[number].poses, scores=scores))
    given = ["build", "videos", tmp_path / "videos", tmp_path / "set", "--name", "own", "--source", "rendered"]
    assert bench(*given, "--licence", "CC0", "--frames", 4) == 0 and validate(tmp_path / "set") == []
    found = open_set(tmp_path / "set")
    cases = [found.open(name) for name in found.cases]
    assert [case.poses is not None for case in cases] == [True, False, False] and found.scored == ("clip_000",)
    assert [case.image_pose for case in cases] == [None] * 3
    told = [message for message in caplog.messages if "taken as no poses" in message]
    assert len(told) == 2 and "clip_001.json: nobody is in any of the 4 frames" in told[0]
    assert bench("build", "poses", tmp_path / "set") == 0


def test_pictures_with_numbers_of_unequal_length_become_no_case(tmp_path, capsys):
    images = tmp_path / "tiktok/00335/images"
    write_frames(images, make_clips(1, seed=6, frames=3)[0].frames)
    (images / "00002.png").rename(images / "10.png")
    given = ["build", "videos", tmp_path / "tiktok", tmp_path / "set", "--layout", "tiktok", "--name", "tiktok"]
    assert bench(*given, "--source", "its page") == 1
    assert "00335/images: 10.png and 00000.png: numbers of unequal length" in capsys.readouterr().err
    assert not (tmp_path / "set/a2bench.json").exists()


def test_folders_of_pictures_keep_their_numbers(tmp_path):
    clips = make_clips(2, seed=6, frames=5)
    for name, clip in zip(("00335", "00336"), clips, strict=True):
        write_frames(tmp_path / "tiktok" / name / "images", clip.frames)
    given = ["build", "videos", tmp_path / "tiktok", tmp_path / "set", "--layout", "tiktok", "--name", "tiktok"]
    assert bench(*given, "--source", "its page", "--frames", 3, "--stride", 2) == 0 and validate(tmp_path / "set") == []
    found = open_set(tmp_path / "set")
    case = found.open("00335", deep=True)
    assert (found.cases, found.scored, case.fps) == (("00335", "00336"), (), 15.0)
    _, frames = case.clip("video").open()
    assert all((frame == clips[0].frames[2 * i]).all() for i, frame in enumerate(frames)) and "research" in case.license


class Noise:
    """Tries of noise in place of a server: a small set of two prompts, and how often a try was made."""

    def __init__(self, folder, monkeypatch):
        (folder / "flow.json").write_text("{}")
        self.folder, self.out, self.prompts, self.made = folder, folder / "set", draw_prompts(2, 0), 0
        self.case = self.out / self.prompts[0].name
        slots = {"prompt": ("6", "text"), "reference": ("7", "image"), "output": ("9", "")}
        self.flow = Workflow(folder / "flow.json", {}, slots)
        monkeypatch.setattr(making, "_make", self._make)

    def _make(self, prompt, folder, server, plan, seed):
        self.made += 1
        frames = np.random.default_rng(seed).integers(0, 255, (3, 96, 64, 3), np.uint8)
        write_frames(folder / "video", frames)
        Image.fromarray(frames[0]).save(folder / "image.png")

    def generate(self, video=None, *, tries=2, fps=8.0, license="CC0", source="noise", choices=None):
        plan = making.Plan(
            image=self.flow, video=video or self.flow, score=liveliness, score_name="liveliness", license=license,
            source=source, fps=fps, tries=tries, choices={self.prompts[0].name: 0} if choices is None else choices,
        )  # fmt: skip
        self.made = 0
        making.generate(self.prompts, self.folder / "tries", self.out, "noise", None, plan)

    def correct_by_hand(self):
        """Poses and a silhouette that nothing of ours wrote; returns them as they are on disk."""
        poses = make_clips(1, seed=1, frames=3, width=64, height=96, fps=8.0)[0].poses
        save_openpose(self.case / "poses.json", poses)
        save_openpose(self.case / "image_pose.json", poses.frames(slice(0, 1)))
        write_frames(self.case / "mask", np.full((3, 96, 64, 3), 255, np.uint8))
        return contents(self.case)


def test_tries_are_made_again_by_other_slots_and_by_a_rate_that_the_workflow_takes(tmp_path, monkeypatch):
    noise = Noise(tmp_path, monkeypatch)
    noise.generate()
    assert noise.made == 4
    noise.generate()
    assert noise.made == 0
    noise.generate(fps=16.0)
    assert noise.made == 0, "the workflow was not told"
    other = replace(noise.flow, slots=noise.flow.slots | {"reference": ("8", "image")})
    noise.generate(other)
    assert noise.made == 4
    timed = replace(other, slots=other.slots | {"fps": ("9", "fps"), "width": ("9", "width")})
    for fps, made in ((16.0, 4), (16.0, 0), (12.0, 4)):
        noise.generate(timed, fps=fps)
        assert noise.made == made and open_set(noise.out).open(noise.case.name).fps == fps
    unused = replace(timed, slots=timed.slots | {"width": ("7", "width")})
    noise.generate(unused, fps=12.0)
    assert noise.made == 0, "width is not filled in"
    note = json.loads((tmp_path / "tries" / noise.case.name / "1/try.json").read_text())
    del note["made_with"]["slots"]  # as it was once written
    (tmp_path / "tries" / noise.case.name / "1/try.json").write_text(json.dumps(note))
    noise.generate(unused, fps=12.0)
    assert noise.made == 1


def test_what_is_said_of_a_case_is_corrected_without_touching_its_files(tmp_path, monkeypatch):
    noise = Noise(tmp_path, monkeypatch)
    noise.generate()
    before = noise.correct_by_hand()
    facts = json.loads((noise.case / "case.json").read_text())
    facts["facts"]["character"] = "teapot"
    (noise.case / "case.json").write_text(json.dumps(facts))
    noise.generate(tries=4, license="CC BY", source="a model")
    after = contents(noise.case)
    assert {name for name in before if before[name] != after.get(name)} == {"case.json"}
    case = open_set(noise.out).open(noise.case.name, deep=True)
    assert (case.license, case.source, case.fps) == ("CC BY", "a model", 8.0)
    assert len(case.facts["scores"]) == 4 and case.facts["character"] == "teapot"
    noise.generate(tries=4, license="CC BY", source="a model")
    assert contents(noise.case) == after


def test_a_corrected_rate_reaches_the_poses(tmp_path, monkeypatch):
    noise = Noise(tmp_path, monkeypatch)
    noise.generate()
    own = make_clips(1, seed=1, frames=3, width=64, height=96)[0].poses
    found = Extraction(lambda frames: replace(own.frames(slice(0, len(list(frames)))), fps=None), {"backend": "fake"})
    screen(noise.out, found, Rules())
    by_hand = noise.out / noise.prompts[1].name / "poses.json"
    save_openpose(by_hand, replace(load_openpose(by_hand), points=own.points + 1))
    mended = load_openpose(by_hand).points
    noise.generate(fps=16.0)
    for poses in (noise.case / "poses.json", by_hand):
        assert load_openpose(poses).fps == 16.0
    assert np.array_equal(load_openpose(by_hand).points, mended)
    assert validate(noise.out) == [] and screen(noise.out, found, Rules())
    noise.generate(fps=16.0, choices={noise.prompts[0].name: 1})
    assert not (noise.case / "poses.json").exists(), "what was found is found again"


def test_a_case_with_work_of_others_is_not_replaced(tmp_path, monkeypatch):
    noise = Noise(tmp_path, monkeypatch)
    noise.generate()
    before = noise.correct_by_hand()
    name, second = (prompt.name for prompt in noise.prompts)
    with pytest.raises(SetError, match=rf"{name} \(image_pose.json, mask, poses.json\)\. Move these") as error:
        noise.generate(choices={name: 1, second: 1})
    assert second not in str(error.value) and contents(noise.case) == before
    assert json.loads((noise.out / second / "case.json").read_text())["facts"]["chosen"] == 1, "the others are made"
    assert open_set(noise.out).cases == (name, second)
    for path in ("image_pose.json", "poses.json"):
        (noise.case / path).unlink()
    (noise.case / "mask").rename(tmp_path / "mask")
    noise.generate(choices={name: 1, second: 1})
    assert contents(noise.case)["image.png"][0] != before["image.png"][0] and validate(noise.out) == []
