"""Fixes the numerical settings of the process and records the environment that determines the bits of a run."""

import torch

Fingerprint = dict[str, str | int | bool]


def pin_threads(threads: int) -> None:
    """Sets the number of torch's intra-op threads.

    The order of summation depends on this number, and small networks run many times faster on one thread.
    """
    torch.set_num_threads(threads)


def pin_precision(precision: str) -> None:
    """Allows TF32 on a GPU only for precision "tf32", because torch by default lets convolutions round to TF32.

    Also makes cuDNN deterministic.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def fingerprint(device: torch.device, workers: int = 1) -> Fingerprint:
    """Returns what must be unchanged for a resumed run to be bit-identical.

    Equal inputs under equal fingerprints give equal bits. Under different fingerprints runs are only statistically
    equal.
    """
    return {
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "workers": workers,
        "onednn": bool(torch.backends.mkldnn.enabled),
        "cudnn": str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
        if device.type == "cuda"
        else "",
    }
