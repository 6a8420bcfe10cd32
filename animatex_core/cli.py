"""The command line: animate-x animate | pose | convert | inspect | export | demo."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Commands import what they need when they run: no --help waits for torch.
from .cli_animate import add_animate
from .cli_output import fail, first_line, progress_bar, say, set_up_log
from .cli_pose import add_pose


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error said in one message, 130 when interrupted."""
    try:
        options = _parser().parse_args(arguments)
        set_up_log(options.quiet)
        options.run(options)
    except KeyboardInterrupt:
        return fail("interrupted; no unfinished file is left", 130)
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError) as error:
        return fail(str(error) or type(error).__name__, 1)
    except RuntimeError as error:  # of the device: out of memory, a driver that is not there
        return fail(f"{type(error).__name__}: {first_line(error)}", 1)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="animate-x", description="One picture of any character, one motion, one clip."
    )
    quiet = "warnings and errors only, no progress bars"
    parser.add_argument("--quiet", action="store_true", help=quiet)
    # Taken before and after the command; SUPPRESS: a command without it leaves what stood before.
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", default=argparse.SUPPRESS, help=quiet)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words, parents=[common])

    add_animate(command("animate", "animate a picture"))
    add_pose(command("pose", "a video or picture -> its poses (OpenPose JSON)"))
    _add_convert(command("convert", "released weights (.pth, .ckpt, .bin) -> one .safetensors"))
    inspect = command("inspect", "say what a weights file is, and what it lacks")
    inspect.add_argument("file", type=Path, nargs="+")
    inspect.set_defaults(run=_inspect)
    export = command("export", "our .safetensors -> the released names and shapes")
    export.add_argument("file", type=Path)
    export.add_argument("--out", type=Path, required=True)
    export.set_defaults(run=_export)
    demo = command("demo", "the whole job with the mini model, on what comes with this package")
    demo.add_argument(
        "--out", type=Path, default=Path("output/demo"), help="folder for the video and the contact sheet"
    )
    demo.set_defaults(run=_demo)
    return parser


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, required=True, help="animate-x_ckpt.pth or a UniAnimate checkpoint")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--text", type=Path, help="file with the OpenCLIP ViT-H text tower, for the empty prompt")
    parser.add_argument("--vae", type=Path, help="bundle this SD 1.x or 2.x VAE")
    parser.add_argument("--clip", type=Path, help="bundle this CLIP ViT-H image tower")
    parser.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16", help="default: %(default)s")
    parser.add_argument("--drop-unexpected", action="store_true", help="leave out tensors without a place")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    from .atomic_file import check_output
    from .convert import convert

    check_output(options.out, overwrite=options.overwrite)
    with progress_bar("converting", "B", quiet=options.quiet) as advance:
        report = convert(
            options.model,
            options.out,
            text=options.text,
            vae=options.vae,
            clip=options.clip,
            dtype=options.dtype,
            drop_unexpected=options.drop_unexpected,
            progress=lambda what, done, total: advance(done, total, what),
        )
    say("\n".join(report.lines()))


def _inspect(options: argparse.Namespace) -> None:
    from .identify import identify

    for path in options.file:
        say("\n".join(identify(path).lines()))


def _export(options: argparse.Namespace) -> None:
    from .convert import export

    export(options.file, options.out)
    say(f"{options.out}: written under the released names")


def _demo(options: argparse.Namespace) -> None:
    from .demo import demo

    with progress_bar("denoising", "step", quiet=options.quiet) as advance:
        lines = demo(options.out, lambda done, total, _: advance(done, total))
    for line in lines:
        say(line)


if __name__ == "__main__":
    sys.exit(main())
