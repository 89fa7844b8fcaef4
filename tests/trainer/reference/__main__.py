"""`python -m tests.trainer.reference` prints how much the trainer differs from the plain loops."""

import torch

from tests.trainer.reference import CASES, Reference, case_label, error, trained


def main() -> None:
    """Prints one line per case."""
    torch.set_num_threads(1)
    print(f"{'max loss error':>14}  {'max weight error':>16}  method")
    for case in CASES:
        found = error(trained(*case), Reference(*case).train())
        print(f"{found.loss:14.1e}  {found.weight:16.1e}  {case_label(case)}", flush=True)


if __name__ == "__main__":
    main()
