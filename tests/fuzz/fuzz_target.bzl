"""One parser under two fuzzers: our driver, as a test, and libFuzzer, by tests/fuzz/run."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library", "cc_test")

def fuzz_target(name, deps, inputs):
    """NAME_test draws `inputs` inputs around the seeds and corpus/NAME; fuzz_NAME has no end."""
    cc_library(
        name = name,
        testonly = True,
        srcs = [name + ".cc"],
        deps = deps + [
            ":fuzz_target",
            "//third_party:glog",
        ],
        alwayslink = True,
    )
    corpus = native.glob(["corpus/" + name + "/*"])
    cc_test(
        name = name + "_test",
        size = "small",
        args = [str(inputs)] + ["$(location %s)" % path for path in corpus],
        data = corpus,
        deps = [
            ":driver",
            ":" + name,
        ],
    )
    cc_binary(
        name = "fuzz_" + name,
        testonly = True,
        linkopts = ["-fsanitize=fuzzer"],
        tags = ["manual"],
        deps = [
            ":" + name,
            ":seed_writer",
        ],
    )
