// Bytes and folders for tests of durable storage.
//
// Thread safety: pure functions, but for the generator. Ownership: none. Preconditions: none.
#ifndef EIDETIC_MEMORY_DURABLE_TEST_BYTES_H_
#define EIDETIC_MEMORY_DURABLE_TEST_BYTES_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace eidetic::memory {

using Bytes = std::vector<std::byte>;

inline Bytes RandomBytes(std::mt19937& random, size_t count) {
  Bytes bytes(count);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

inline std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// An empty folder of this test's own.
inline std::filesystem::path FreshFolder() {
  const testing::TestInfo* test = testing::UnitTest::GetInstance()->current_test_info();
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / test->name();
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

}  // namespace eidetic::memory

#endif  // EIDETIC_MEMORY_DURABLE_TEST_BYTES_H_
