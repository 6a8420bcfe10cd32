"""Tiny rendered sets in the format of the benchmark."""

from animatex_training.evaluation.cases import write_case, write_set
from animatex_training.synthetic_clips import make_clips
from PIL import Image

from animatex_core.pose.io import save_openpose

SIZE, FRAMES = (64, 96), 8


def write_frames(folder, frames):
    """Pictures as a folder of PNGs."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{number:05d}.png")


def write_small_set(folder, cases=3, references=1, frames=FRAMES, seed=3):
    """Scored cases `case0` ... and references without poses `more0` ...; returns the folder and the clips."""
    folder.mkdir()
    clips = make_clips(cases + references, seed=seed, frames=frames, width=SIZE[0], height=SIZE[1], fps=8.0)
    names = [f"case{i}" for i in range(cases)] + [f"more{i}" for i in range(references)]
    for name, clip in zip(names, clips, strict=True):
        root = folder / name
        root.mkdir()
        Image.fromarray(clip.frames[0]).save(root / "image.png")
        (root / "prompt.txt").write_text("a rendered character")
        write_case(root, license="CC0", source="rendered", fps=8.0, seed=seed)
        if name.startswith("case"):
            write_frames(root / "video", clip.frames)
            save_openpose(root / "poses.json", clip.poses)
            save_openpose(root / "image_pose.json", clip.poses.frames(slice(0, 1)))
    write_set(folder, "small", "1", names, names[:cases])
    return folder, clips
