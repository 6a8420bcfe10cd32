"""A run over a Ray cluster: every task is one shard, and all share the folder."""

from __future__ import annotations

from .runner import Advance, Done, Request, Shard, run


def run_by_ray(request: Request, address: str, workers: int = 0, progress: Advance | None = None) -> Done:
    """The whole run on a cluster whose machines see the set, the models and the folder under the same paths.

    address: "auto", "local" or that of a head node. workers: shards at a time; 0 for one a GPU, or one where there is
    none. Raises ImportError with the command that installs Ray.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError('--ray needs Ray, here and on the cluster: pip install "ray"') from error
    if not ray.is_initialized():
        ray.init(address=None if address == "local" else address, log_to_driver=False)
    gpus = int(ray.cluster_resources().get("GPU", 0))
    count = workers or max(1, gpus)
    task = ray.remote(num_gpus=1)(run_shard) if gpus else ray.remote(run_shard)
    waiting = [task.remote(request, (number, count)) for number in range(1, count + 1)]
    done: list[Done] = []
    while waiting:
        ready, waiting = ray.wait(waiting, num_returns=1)
        done += [ray.get(reference) for reference in ready]
        if progress:
            progress(len(done), count, "shards")
    last = run(request)  # finds everything done, and writes the records of methods
    made, scored = (sum(getattr(one, name) for one in done) for name in ("made", "scored"))
    return Done(last.cases, made, scored, sum(one.reused for one in done), last.complete)


def run_shard(request: Request, shard: Shard) -> Done:
    """One shard; a function of a module, so that it can be sent to other machines."""
    return run(request, shard)


def shard_of(text: str) -> Shard:
    """I/N of the command line. Raises ValueError for anything else."""
    first, slash, second = text.partition("/")
    if not (slash and first.isdigit() and second.isdigit() and 1 <= int(first) <= int(second)):
        raise ValueError(f"--shard: expected I/N with I from 1 to N, got {text!r}")
    return int(first), int(second)
