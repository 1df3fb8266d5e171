"""Writes the logits and greedy continuations that the conformance tests compare with.

    python3 make_goldens.py --demo PATH/TO/engine/model/demo --out .

needs torch, transformers, tokenizers and safetensors. Without --demo only the tiny models are
made; --only picks some. The causal-conv1d and mamba-ssm kernels must not be installed: the
reference is the plain PyTorch path of transformers.
"""

import argparse
import importlib.util
import os

import demo_model
import golden_io
import tiny_models


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="folder for tiny1/, tiny2/, tiny3/, demo/")
    parser.add_argument("--demo", help="folder of the demo model")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--only", nargs="*", help="names of models to make")
    args = parser.parse_args()
    for kernels in ("mamba_ssm", "causal_conv1d"):
        if importlib.util.find_spec(kernels) is not None:
            raise SystemExit(f"{kernels} is installed: its kernels are not the reference")

    print(golden_io.versions(args.device))
    for name in tiny_models.CONFIGS:
        if not args.only or name in args.only:
            tiny_models.make(name, os.path.join(args.out, name), args.device)
    if args.demo and (not args.only or "demo" in args.only):
        demo_model.make(args.demo, os.path.join(args.out, "demo"), args.device)


if __name__ == "__main__":
    main()
