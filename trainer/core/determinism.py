"""What must be unchanged for a resumed run to be bit-identical; recorded in every checkpoint."""

import torch

Fingerprint = dict[str, str | int | bool]


def pin_threads(threads: int) -> None:
    """Sets torch's intra-op threads: sums depend on their number, and small nets run many times faster on one."""
    torch.set_num_threads(threads)


def pin_precision(precision: str) -> None:
    """Sets what float32 means on a GPU: torch's own default lets convolutions round to TF32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def fingerprint(device: torch.device, workers: int = 1) -> Fingerprint:
    """Equal fingerprints give equal bits for equal inputs; anything else only statistically equal runs."""
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
