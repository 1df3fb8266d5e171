"""Rules for CUDA code; without a toolkit they make nothing."""

load("@cuda_toolkit//:defs.bzl", "HAS_CUDA", "LIBRARIES", "NVCC")
load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")

# Hopper alone: the kernels use its instructions.
_ARCHITECTURE = "-gencode=arch=compute_90a,code=sm_90a"

def cuda_objects(name, srcs, hdrs):
    """One object file per .cu file of `srcs`, together called `name`.

    hdrs: every file that they include, from the root of the workspace.
    """
    if not HAS_CUDA:
        return
    objects = []
    for src in srcs:
        stem = src[:-len(".cu")]
        native.genrule(
            name = stem + "_object",
            srcs = [src] + hdrs,
            outs = [stem + ".o"],
            cmd = NVCC + " -std=c++20 -O3 -lineinfo " + _ARCHITECTURE +
                  " -Xcompiler -fPIC,-Wall -I. -c $(location %s) -o $@" % src,
        )
        objects.append(":" + stem + ".o")
    cc_library(
        name = name,
        srcs = objects,
        alwayslink = 1,
    )

def cuda_shared_library(name, deps, visibility):
    """A shared object of host code and CUDA objects, linked with cudart and cuBLAS."""
    if not HAS_CUDA:
        # Whatever names it as data gets nothing.
        native.filegroup(name = name, srcs = [], visibility = visibility)
        return
    cc_binary(
        name = name,
        linkshared = 1,
        linkopts = [
            "-L" + LIBRARIES,
            # The toolkit's usual place, wherever this is run.
            "-Wl,-rpath,/usr/local/cuda/lib64",
            "-lcudart",
            "-lcublas",
            # Its own copies of what the server has too: each side keeps to itself.
            "-Wl,-Bsymbolic",
        ],
        visibility = visibility,
        deps = deps,
    )

def cuda_cc_library(name, **kwargs):
    """A cc_library whose sources include CUDA's headers."""
    if HAS_CUDA:
        cc_library(
            name = name,
            deps = kwargs.pop("deps", []) + ["@cuda_toolkit//:headers"],
            **kwargs
        )
