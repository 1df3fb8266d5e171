"""Finds a CUDA toolkit on this machine, if there is one.

@cuda_toolkit//:defs.bzl says whether (HAS_CUDA) and where (NVCC, LIBRARIES); without a toolkit
CUDA targets drop out of the build by themselves. Looked for: $CUDA_HOME, nvcc on $PATH,
/usr/local/cuda.
"""

_BUILD = """
package(default_visibility = ["//visibility:public"])

cc_library(
    name = "headers",
    hdrs = glob(["include/**"]),
    includes = ["include"],
)
"""

def _find_nvcc(ctx):
    home = ctx.os.environ.get("CUDA_HOME", "")
    for path in [home + "/bin/nvcc"] if home else []:
        if ctx.path(path).exists:
            return ctx.path(path)
    on_path = ctx.which("nvcc")
    if on_path != None:
        return on_path
    usual = ctx.path("/usr/local/cuda/bin/nvcc")
    return usual if usual.exists else None

def _cuda_toolkit_impl(ctx):
    nvcc = _find_nvcc(ctx)
    if nvcc == None:
        ctx.file("BUILD", "")
        ctx.file("defs.bzl", "HAS_CUDA = False\nNVCC = \"\"\nLIBRARIES = \"\"\n")
        return
    root = nvcc.realpath.dirname.dirname
    ctx.symlink(root.get_child("include"), "include")
    ctx.file("BUILD", _BUILD)
    ctx.file("defs.bzl", "HAS_CUDA = True\nNVCC = \"%s\"\nLIBRARIES = \"%s\"\n" % (
        nvcc,
        root.get_child("lib64"),
    ))

cuda_toolkit = repository_rule(
    implementation = _cuda_toolkit_impl,
    environ = ["CUDA_HOME", "PATH"],
    local = True,
)
