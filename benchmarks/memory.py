"""What `lensaudit.memory.keep_freed_memory` gains: the same work in processes with it and without, turn by turn.

``python benchmarks/memory.py --finder ou66 --finder ou200`` prints, per finder, CPU time without over with (median
and range over the rounds) of scoring prepared images as `score_set` does and of one training step after another, and
the peak memory of both. No claim: the gain depends on the C library, on the sizes of a finder's maps and on how dear a
page fault is, which is more on a virtual machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

WORDS = ("without", "with")


def measure(name: str, batch: int, steps: int) -> dict[str, float]:
    """CPU seconds per image of scoring and of training, and peak memory in MB, in this process."""
    import torch

    from lensaudit.finders import load_finder
    from lensaudit.finders.layout import channels_last
    from lensaudit.finders.score import default_batch_size

    torch.set_num_threads(1)
    finder = load_finder(name)
    net, size = finder.module.to(memory_format=torch.channels_last), finder.recipe.size
    images = channels_last(torch.rand(batch, finder.recipe.channels, size, size))
    few = images[: default_batch_size(finder)]
    optimizer = torch.optim.Adam(net.parameters(), 1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            outputs = net(images)
        outputs.float().square().mean().backward()
        optimizer.step()

    with torch.inference_mode():
        scoring = timed(lambda: finder.logit(few), 4 * steps) / len(few)
    training = timed(step, steps) / batch
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"scoring": scoring, "training": training, "peak_mb": peak}


def timed(work, times: int) -> float:
    """CPU seconds of one turn, after two that are not counted."""
    work(), work()
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


def turn(word: str, name: str, arguments: argparse.Namespace) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", word, "--finder", name]
    command += ["--batch", str(arguments.batch), "--steps", str(arguments.steps)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--finder", action="append", required=True)
    parser.add_argument("--batch", type=int, default=16, help="images of a training step")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", choices=WORDS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        if arguments.child == "with":
            from lensaudit.memory import keep_freed_memory

            assert keep_freed_memory(), "malloc cannot be set here, or the environment sets it"
        print(json.dumps(measure(arguments.finder[0], arguments.batch, arguments.steps)))
        return
    for name in arguments.finder:
        rounds = [{word: turn(word, name, arguments) for word in WORDS} for _ in range(arguments.rounds)]
        print(f"{name}, {arguments.rounds} rounds:")
        for what in ("scoring", "training"):
            gains = [one["without"][what] / one["with"][what] for one in rounds]
            print(f"  {what}: {statistics.median(gains):.2f} ({min(gains):.2f} to {max(gains):.2f})")
        peaks = (f"{max(one[word]['peak_mb'] for one in rounds):.0f} MB {word}" for word in WORDS)
        print(f"  peak: {', '.join(peaks)}", flush=True)


if __name__ == "__main__":
    main()
