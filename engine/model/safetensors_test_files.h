// Makes small safetensors files for tests.
//
// Thread safety: one test process, one thread. Ownership: values.
// Preconditions: none.
#ifndef EIDETIC_ENGINE_MODEL_SAFETENSORS_TEST_FILES_H_
#define EIDETIC_ENGINE_MODEL_SAFETENSORS_TEST_FILES_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

namespace eidetic {

inline std::filesystem::path TestFolder(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

inline std::filesystem::path Write(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

// A file: header length, `header`, then `data_bytes` bytes 0, 1, 2, ...
inline std::string File(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(reinterpret_cast<const char*>(&length), sizeof(length));
  file += header;
  for (size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

inline std::string Entry(const std::string& name, const std::string& dtype,
                         const std::string& shape, int64_t begin, int64_t end) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape +
         R"(,"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) + "]}";
}

inline std::string Object(const std::string& entries) { return "{" + entries + "}"; }

}  // namespace eidetic

#endif  // EIDETIC_ENGINE_MODEL_SAFETENSORS_TEST_FILES_H_
