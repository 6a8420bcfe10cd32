"""The report holds what the run holds, whole, in one file; what is missing is said, and texts cannot become code."""

import dataclasses
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from animatex_training.evaluation.records import Bench, CaseScores, MethodScores, RunFolder, Value
from animatex_training.evaluation.report import ReportOptions, write_report
from animatex_training.evaluation.report.plots import LEFT, RIGHT, WIDTH, line_plot, nice_ticks, over_clip
from animatex_training.evaluation.report.walls import Tile, make_strips, make_wall, tiles_of
from PIL import Image

from animatex_core.atomic_file import OutputError
from animatex_core.video import read_frames
from tests.training.evaluation.run_folder import make_run, write_pictures

EVIL = "<script>alert('1')</script>\"&"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run") / "run", methods=("fine", "noisy", "other"), cases=3)


@pytest.fixture(scope="module")
def html(run, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report.html"
    write_report([run.root], out)
    return out.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Every start tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, tag, **wanted):
        return [attrs for name, attrs in self.found if name == tag and wanted.items() <= attrs.items()]


def test_everything_is_there(run, html):
    page = Elements(html)
    cases = page.of("article")
    assert {one["data-name"] for one in cases} == set(run.bench().cases)
    for one in cases:
        scores = json.loads(one["data-scores"])
        for method in run.bench().methods:
            expected = run.case_scores(method, one["data-name"]).values
            assert scores[method] == {name: value.value for name, value in expected.items()}
    assert len(page.of("video")) == 3 and len(page.of("canvas")) == 3 * 6
    assert len(page.of("svg", **{"class": "plot"})) == 3 * 2
    shown = {row["data-method"] for row in page.of("tr") if "data-method" in row}
    assert shown == {"fine", "noisy", "other"}
    assert "Quoted from the paper, Table 2, self-driven; other data and settings" in html
    assert "range: 255; preset: clean" in html.replace("preset: clean; range: 255", "range: 255; preset: clean")
    assert "<dt>seed</dt><dd>11</dd>" in html and "<dt>version of torch</dt><dd>2.13.0</dd>" in html
    assert re.search(r"Not in this run: .*LPIPS \(AlexNet\).*FVD", html)


def test_worst_cases_come_first(run, html):
    psnr = [run.case_scores("fine", one["data-name"]).values["psnr"].value for one in Elements(html).of("article")]
    assert psnr == sorted(psnr) and len(set(psnr)) == 3


def test_nothing_is_fetched(html):
    for _, attrs in Elements(html).found:
        for name in ("src", "href", "poster", "srcset", "action"):
            assert attrs.get(name, "#").startswith(("#", "data:")), attrs
    assert "url(" not in html and "@import" not in html and "default-src 'none'" in html


def test_the_same_run_gives_the_same_page(run, html, tmp_path):
    """But for the videos' bytes: x264 does not repeat its own everywhere."""
    write_report([run.root], tmp_path / "again.html")
    pages = [re.sub('data:video/mp4;base64,[^"]+', "", text) for text in (html, (tmp_path / "again.html").read_text())]
    assert pages[0] == pages[1]
    with pytest.raises(OutputError, match="exists already"):
        write_report([run.root], tmp_path / "again.html")
    write_report([run.root], tmp_path / "again.html", overwrite=True)


def test_the_wall_shows_the_frames_where_it_says(run, tmp_path):
    tiles = tiles_of(run, run.bench(), "case_01")
    assert [tile.label for tile in tiles] == ["reference", "driving pose", "truth", "fine", "noisy", "other"]
    wall = make_wall(tiles, 8.0, most_frames=96, most_bytes=10**7)
    (tmp_path / "wall.mp4").write_bytes(wall.data)
    frames = list(read_frames(tmp_path / "wall.mp4"))
    assert len(frames) == wall.frames == 12 and wall.size == (96, 144)
    for number, tile in enumerate(tiles):
        top, left = number // wall.columns * wall.pitch[1], number % wall.columns * wall.pitch[0]
        for frame in (0, 7, 11):
            cut = frames[frame][top : top + 144, left : left + 96].astype(float)
            truth = np.asarray(Image.open(tile.files[0 if number == 0 else frame])).astype(float)
            noise = 30 if tile.label == "noisy" else 8  # noise is what lossy video drops first
            assert np.abs(cut - truth).mean() < noise, (tile.label, frame)


def test_long_clips_are_thinned_and_large_ones_shrunk(tmp_path):
    rng = np.random.default_rng(0)
    write_pictures(tmp_path / "clip", rng.integers(0, 255, (20, 120, 80, 3), np.uint8))
    tiles = [Tile("a", "method", tuple(sorted((tmp_path / "clip").iterdir())))]
    whole = make_wall(tiles, 10.0, most_frames=96, most_bytes=10**7)
    thin = make_wall(tiles, 10.0, most_frames=8, most_bytes=10**7)
    assert (whole.frames, whole.step, whole.fps) == (20, 1, 10) and (thin.frames, thin.step) == (7, 3)
    small = make_wall(tiles, 10.0, most_frames=96, most_bytes=len(whole.data) - 1)
    assert small.size < whole.size and len(small.data) < len(whole.data)
    assert make_wall(tiles, 10.0, most_frames=96, most_bytes=100) is None
    assert make_wall([Tile("a", "method", ())], 10.0, most_frames=96, most_bytes=10**7) is None
    (strip,) = make_strips(tiles)
    assert strip.numbers == (0, 4, 8, 11, 15, 19)


def test_what_is_missing_is_said(run, tmp_path):
    broken = RunFolder(tmp_path / "run")
    shutil.copytree(run.root, broken.root)
    shutil.rmtree(broken.frames("noisy", "case_00"))
    broken.score_file("noisy", "case_00").unlink()
    broken.method_file("other").unlink()
    bench = broken.bench()
    options = {**bench.options, "absent": {"fvd": "no weights of <I3D>"}}
    broken.write(dataclasses.replace(bench, options=options))
    shutil.rmtree(broken.case("case_01") / "truth")
    write_report([broken.root], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "noisy: 1 of 3 cases are not measured (case_00)" in text and "no frames" in text
    assert "not measured: no weights of &lt;I3D&gt;" in text and "<dt>absent</dt>" not in text
    assert "other: the metrics over all cases are not there yet" in text


def test_a_run_without_scores_or_pictures_is_still_a_page(tmp_path):
    RunFolder(tmp_path / "run").write(Bench("tiktok-335-340", ("x",), ("a",), {}, {}))
    (tmp_path / "run" / "cases").mkdir()
    write_report([tmp_path / "run"], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No metrics over all cases yet" in text and "The paper has no values for the setting tiktok-335-340" in text


def test_only_the_worst_cases_have_pictures_when_so_asked(run, tmp_path):
    write_report([run.root], tmp_path / "report.html", ReportOptions(pictures=1))
    page = Elements((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(page.of("article")) == 3 and len(page.of("video")) == 1


def test_texts_of_a_run_stay_texts(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.write(Bench(EVIL, ("x",), ("a",), {EVIL: EVIL, "nested": {EVIL: [EVIL]}}, {EVIL: EVIL}))
    values = {EVIL: Value(1.0, 2, (1.0, 2.0), {EVIL: EVIL})}
    run.write(CaseScores("a", "x", 2, 8, 8, "", values))
    run.write(MethodScores("a", ("x",), "", values))
    write_report([run.root], tmp_path / "report.html", ReportOptions(title=EVIL))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Elements(text)
    assert len(page.of("script")) == 1 and "<script>alert" not in text
    assert not [attrs for _, attrs in page.found if any(name.startswith("on") for name in attrs)]


@pytest.mark.parametrize("text", [None, "{}", '{"format": 1, "setting": "self"}'])
def test_what_is_no_run_is_named(tmp_path, text):
    if text is not None:
        (tmp_path / "bench.json").write_text(text)
    with pytest.raises(ValueError, match=r"bench\.json"):
        write_report([tmp_path], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_damaged_score_is_named(run, tmp_path):
    broken = RunFolder(tmp_path / "run")
    shutil.copytree(run.root, broken.root)
    broken.score_file("noisy", "case_01").write_text('{"format": 1, "method": "noisy"}')
    with pytest.raises(ValueError, match=r"case_01\.json: the field 'frames' is missing"):
        write_report([broken.root], tmp_path / "report.html")


def test_plots_have_round_ticks_and_gaps():
    assert nice_ticks(0.0, 1.0) == [0, 0.25, 0.5, 0.75, 1] and nice_ticks(31.2, 38.9) == [30, 32, 34, 36, 38, 40]
    assert nice_ticks(5, 5)[0] < 5 < nice_ticks(5, 5)[-1]
    plot = line_plot({"a": [1, 2, float("nan"), 3], EVIL: [float("inf"), 2]}, "M")
    assert plot.count("<polyline") == 3 and plot.count('class="dot"') == 2 and "<script" not in plot
    assert line_plot({"a": list(range(5000))}, "M").count(",") < 500
    with pytest.raises(ValueError, match="nothing to draw"):
        line_plot({"a": [float("nan")]}, "M")


def frames_of(svg):
    """method -> frames at which something is drawn, from where it is drawn."""
    told = re.search(r'data-frames="(\d+)"', svg)
    step = (WIDTH - LEFT - RIGHT) / (int(told[1]) - 1)
    groups = re.findall(r'<g class="s\d" data-method="(\w+)">(.*?)</g>', svg)
    places = {
        name: {float(x) for line in re.findall('points="([^"]+)"', drawn) for x in re.findall(r"([\d.]+),", line)}
        for name, drawn in groups
    }
    return {name: sorted(round((x - LEFT) / step) for x in found) for name, found in places.items()}


@pytest.mark.parametrize("skipped", [False, True])
def test_plots_show_numbers_at_their_frames(tmp_path, skipped):
    run, later = RunFolder(tmp_path / "run"), int(skipped)
    run.write(Bench("long", ("x",), ("a", "b"), {"fps": 8.0, "inputs": {"skip_first": skipped}}, {}))
    numbers = (3.0, 1.0, 2.0)
    for method, subset in (("a", [2, 3, 9]), ("b", [5, 6, 7])):
        values = {
            "psnr": Value(1.0, 10, tuple(map(float, range(10)))),
            "seam": Value(2.0, 3, numbers, {"frames": subset, "clip_frames": 10}),
            "largest_jump": Value(9.0, 10, tuple(map(float, range(9))), {"first_frame": 1}),
            "odd": Value(1.0, 2, numbers, {"frames": [1, "2", EVIL], "first_frame": EVIL}),
        }
        run.write(CaseScores(method, "x", 10, 8, 8, "", values))
    write_report([run.root], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    plots = re.findall('<svg class="plot".*?</svg>', text, re.DOTALL)
    drawn = {re.search('aria-label="(.*?) over frames', one)[1]: frames_of(one) for one in plots}
    assert len(plots) == 4 and all(f'data-frames="{10 + later}"' in one for one in plots)
    by_frame = {tuple(found["a"]): tuple(found["b"]) for found in drawn.values()}
    ten = tuple(range(later, 10 + later))
    assert by_frame[ten] == ten and by_frame[ten[1:]] == ten[1:] and by_frame[ten[:3]] == ten[:3]
    assert by_frame[tuple(t + later for t in (2, 3, 9))] == tuple(t + later for t in (5, 6, 7))


def test_a_lone_number_is_a_dot_and_no_gap_is_bridged_in_long_clips():
    seams = over_clip(Value(1.0, 2, (1.0, 2.0), {"frames": [1201.0, 4003.0]}), 5000, 0)
    assert len(seams) == 5000 and np.flatnonzero(np.isfinite(seams)).tolist() == [1201, 4003]
    plot = line_plot({"a": seams, "b": [1.0] * 2000 + [float("nan")] + [1.0] * 2999}, "M")
    assert plot.count('class="dot"') == 2 and plot.count("<polyline") == 4
    assert frames_of(plot)["a"] == pytest.approx([1201, 4003], abs=1)
    assert over_clip(Value(1.0, 2, None), 5, 0) == over_clip(Value(1.0, 1, (1.0,), {"frames": [7]}), 5, 0) == []
