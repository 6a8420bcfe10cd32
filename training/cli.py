"""The command line: animate-x-train prepare | plan | train | export | average | strengthen | deepen | presets."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

# Commands import what they need when they run: no --help waits for torch.
from animatex_core.cli_output import fail, first_line, progress_bar, say, set_up_log

from .cli_prepare import add_prepare


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code: 0, 1 for an error, 128 + signal when asked to stop."""
    try:
        options = _parser().parse_args(arguments)
        set_up_log(options.quiet)
        return options.run(options) or 0
    except KeyboardInterrupt:
        return fail("interrupted; complete checkpoints and prepared clips stay", 130)
    except (ValueError, ArithmeticError, OSError, ImportError, MemoryError) as error:
        return fail(str(error) or type(error).__name__, 1)
    except RuntimeError as error:  # of the device or of another process of the run
        return fail(f"{type(error).__name__}: {first_line(error)}", 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="animate-x-train", description="From a folder of videos to weights.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--quiet", action="store_true", help="warnings and errors only, no progress bars")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, words: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=words, description=words, parents=[common])

    add_prepare(command("prepare", "videos -> a data set on disk"))
    _add_plan(command("plan", "memory and time of a configuration, before anything is loaded"))
    _add_train(command("train", "train, or go on with a run that was interrupted"))
    _add_export(command("export", "a run -> the file that animates"))
    _add_average(command("average", "exports of several legs of one training -> one file, their mean"))
    _add_strengthen(command("strengthen", "an export -> one that follows the pose pictures more"))
    _add_deepen(command("deepen", "an export -> one with a stage more, which predicts the same and can learn more"))
    presets = command("presets", "the configurations that come along")
    presets.set_defaults(run=_presets)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", help="a TOML file, or the name of a preset")
    words = "section.key=value in place of the file's, e.g. --set optimiser.rate=1e-4; as often as needed"
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help=words)


def _add_plan(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--size", default="512x768", help="of the clips, WIDTHxHEIGHT in pixels; default: %(default)s")
    parser.add_argument("--processes", type=int, default=1, help="GPUs; default: %(default)s")
    parser.add_argument("--gpu", default="", help="h200, h100, a100, l40s or rtx4090: whether it fits, and how long")
    parser.set_defaults(run=_plan)


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_config(parser)
    parser.add_argument("--data", type=Path, help="the folder of animate-x-train prepare, in place of data.folder")
    parser.add_argument("--start", type=Path, help="weights to start from, in place of start.weights")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on after the newest complete checkpoint, if any")
    parser.set_defaults(run=_train)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--dtype", choices=("fp16", "bf16", "fp32"), default="fp16", help="default: %(default)s")
    parser.add_argument("--last", action="store_true", help="the last weights instead of their average (EMA)")
    parser.add_argument("--lora", action="store_true", help="the LoRA alone instead of the network that it is part of")
    parser.add_argument("--weights", help="where the file that training started from lies now")
    parser.add_argument("--vae", type=Path, help="put this VAE into the file")
    parser.add_argument("--clip", type=Path, help="put this image encoder into the file")
    parser.add_argument("--license", default="", help="kept in the file's metadata")
    parser.add_argument("--note", default="", help="what the model is and is not for; kept in the file's metadata")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.set_defaults(run=_export)


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="written by export; metadata: the last one's"
    )
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.set_defaults(run=_average)


def _add_strengthen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="written by export or average")
    parser.add_argument("--factor", type=float, required=True, help="of the pose pictures' features; 1 changes nothing")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.set_defaults(run=_strengthen)


def _add_deepen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="written by export or average")
    words = "which level gets a stage more in encoder and decoder; 0 is full latent size; default: %(default)s"
    parser.add_argument("--level", type=int, default=0, help=words)
    parser.add_argument("--seed", type=int, default=0, help="of the new weights; default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the output when it is there")
    parser.set_defaults(run=_deepen)


def _plan(options: argparse.Namespace) -> None:
    from .config_file import read_config
    from .plan import DEVICES, make_plan

    width, _, height = options.size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f"--size: expected WIDTHxHEIGHT, got {options.size!r}")
    if options.gpu and options.gpu not in DEVICES:
        raise ValueError(f"--gpu: expected one of {', '.join(DEVICES)}, got {options.gpu!r}")
    if options.processes < 1:
        raise ValueError(f"--processes: expected at least 1, got {options.processes}")
    config = read_config(options.config, options.changes)
    plan = make_plan(config, int(height), int(width), options.processes)
    say("\n".join(plan.lines(config, options.gpu, options.processes)))


def _train(options: argparse.Namespace) -> int:
    import torch

    from .config_file import read_config
    from .open_data import open_data
    from .sharding import pick_device, processes
    from .stopping import stop_on_signals
    from .trainer import Trainer

    given = {"data.folder": options.data, "start.weights": options.start}
    # A JSON string is one of TOML as well, whatever the path holds.
    changes = [f"{key}={json.dumps(str(p), ensure_ascii=False)}" for key, p in given.items() if p is not None]
    config = read_config(options.config, [*options.changes, *changes])
    device = pick_device(config.run.device)
    if device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    with stop_on_signals() as stop, processes(device, config.run.timeout) as ranks:
        data = open_data(config.data, config.run.seed)
        trainer = Trainer(config, data, options.out, ranks, device, resume=options.resume)
        with progress_bar("training", "clip", quiet=options.quiet or not ranks.first) as advance:
            ended_by = trainer.run(stop, advance)
        if ranks.first:
            why = f"stopped by {signal.Signals(ended_by).name}" if ended_by else "done"
            say(f"{options.out}: {why} after step {trainer.step} of {config.run.steps}; the checkpoint is complete")
    return 128 + ended_by if ended_by else 0


def _export(options: argparse.Namespace) -> None:
    from .export import export

    export(
        options.folder,
        options.out,
        dtype=options.dtype,
        averaged=not options.last,
        lora=options.lora,
        weights=options.weights,
        license_name=options.license,
        note=options.note,
        vae=options.vae,
        clip=options.clip,
        overwrite=options.overwrite,
    )
    say(f"{options.out}: written")


def _average(options: argparse.Namespace) -> None:
    from .average import average

    average(options.files, options.out, overwrite=options.overwrite)
    say(f"{options.out}: written")


def _strengthen(options: argparse.Namespace) -> None:
    from .strengthen import strengthen

    strengthen(options.file, options.out, options.factor, overwrite=options.overwrite)
    say(f"{options.out}: written")


def _deepen(options: argparse.Namespace) -> None:
    from .deepen import deepen

    config = deepen(options.file, options.out, options.level, seed=options.seed, overwrite=options.overwrite)
    blocks = json.dumps(config.unet.blocks_per_level)
    say(f"{options.out}: written; to train it: --set 'model.unet.blocks_per_level={blocks}'")


def _presets(options: argparse.Namespace) -> None:
    from .config_file import PRESETS, preset_names

    for name in preset_names():
        lines = (PRESETS / f"{name}.toml").read_text(encoding="utf-8").splitlines()
        words = " ".join(line[2:] for line in lines[: next(i for i, line in enumerate(lines) if line[:1] != "#")])
        say(f"{name}: {words}")


if __name__ == "__main__":
    sys.exit(main())
