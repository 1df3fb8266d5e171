"""cc_grpc_library: .proto files to C++ through the system's protoc."""

load("@rules_cc//cc:defs.bzl", "cc_library")

def cc_grpc_library(name, srcs, visibility = None):
    """Generates and compiles messages and services of all `srcs`.

    Args:
      name: the cc_library's name; headers are included as <path within this package>.pb.h
      srcs: .proto files, named by their import path below this package.
      visibility: as everywhere.
    """
    outs = []
    for src in srcs:
        stem = src[:-len(".proto")]
        outs += [stem + suffix for suffix in [".pb.h", ".pb.cc", ".grpc.pb.h", ".grpc.pb.cc"]]
    package = native.package_name()
    native.genrule(
        name = name + "_protoc",
        srcs = srcs,
        outs = outs,
        cmd = ("protoc -I {package} --cpp_out=$(RULEDIR) --grpc_out=$(RULEDIR) " +
               "--plugin=protoc-gen-grpc=$$(command -v grpc_cpp_plugin) $(SRCS)").format(package = package),
    )
    cc_library(
        name = name,
        srcs = [out for out in outs if out.endswith(".cc")],
        hdrs = [out for out in outs if out.endswith(".h")],
        copts = ["-Wno-unused-parameter"],
        includes = ["."],
        visibility = visibility,
        deps = ["//third_party:grpc"],
    )
