"""What torch sees, as JSON. A program of its own: torch imports slowly, and a driver that hangs must hang only this."""

import json
import sys
import warnings


def main() -> None:
    """Print one JSON object to standard output."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import torch

        report = {
            "version": torch.__version__,
            "cuda": torch.version.cuda,
            "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
            if torch.cuda.is_available()
            else [],
            "operators": _operators_in_words(),
        }
    report["said"] = next((str(one.message) for one in caught if "CUDA" in str(one.message)), "")
    json.dump(report, sys.stdout)


def _operators_in_words() -> str:
    """'' where torchvision's operators work, else what is wrong."""
    try:
        import torch
        import torchvision

        torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (ImportError, RuntimeError, AttributeError, NotImplementedError) as error:
        return str(error).splitlines()[0]
    return ""


if __name__ == "__main__":
    main()
