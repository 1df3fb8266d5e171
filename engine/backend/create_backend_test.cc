#include "engine/backend/create_backend.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "absl/strings/match.h"

namespace eidetic {
namespace {

// Without a library to load, as on a machine where the toolkit never was.
class CreateBackendTest : public ::testing::Test {
 protected:
  CreateBackendTest() { setenv("EIDETIC_CUDA_LIBRARY", "/nonexistent/library.so", 1); }
  ~CreateBackendTest() override { unsetenv("EIDETIC_CUDA_LIBRARY"); }
};

TEST_F(CreateBackendTest, AutoFallsBackToTheCpu) {
  std::string why;
  const auto backend = CreateBackend({.device = "auto", .cpu = {.threads = 1}}, &why);
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_TRUE(absl::StrContains((*backend)->name(), "cpu"));
  EXPECT_TRUE(absl::StrContains(why, "libeidetic_cuda.so")) << why;
}

TEST_F(CreateBackendTest, AnAskedForGpuThatIsNotThereIsAnError) {
  EXPECT_EQ(CreateBackend({.device = "cuda:0"}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CreateBackendTest, UnknownNamesAreRefused) {
  for (const char* name : {"", "gpu", "cuda:", "cuda:-1", "cuda:one", "cuda:1 ", "CPU"}) {
    const absl::Status status = CreateBackend({.device = name}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << name;
    EXPECT_TRUE(absl::StrContains(status.message(), "--device")) << status;
  }
}

TEST_F(CreateBackendTest, AFileThatIsNoLibraryIsUnavailable) {
  setenv("EIDETIC_CUDA_LIBRARY", "/proc/self/cmdline", 1);
  EXPECT_EQ(CreateBackend({.device = "cuda"}).status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace eidetic
