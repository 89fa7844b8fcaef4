"""What must be unchanged for a resumed run to be bit-identical; recorded in every checkpoint."""

import torch

Fingerprint = dict[str, str | int | bool]


def pin_threads(threads: int) -> None:
    """Sets torch's intra-op threads: sums depend on their number, and small nets run many times faster on one."""
    torch.set_num_threads(threads)


def fingerprint(device: torch.device, workers: int = 1) -> Fingerprint:
    """Equal fingerprints give equal bits for equal inputs; anything else only statistically equal runs."""
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "workers": workers,
        "onednn": bool(torch.backends.mkldnn.enabled),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
    }
