// The files by which a server knows its callers, written as an operator writes them.
//
// Thread safety: thread-compatible. Ownership: values; the files stay. Preconditions: under Bazel.
#ifndef EIDETIC_TESTS_END_TO_END_IDENTITY_FILES_H_
#define EIDETIC_TESTS_END_TO_END_IDENTITY_FILES_H_

#include <openssl/sha.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"

namespace eidetic::testing {

// A new file, or a new version of one, there at once.
inline std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = std::string(std::getenv("TEST_TMPDIR")) + "/" + name;
  std::ofstream(path + ".part", std::ios::binary) << text;
  std::filesystem::rename(path + ".part", path);
  return path;
}

struct TestKey {
  std::string id, tenant, role;
  std::string text() const { return "eid_" + id + "_0123456789abcdef"; }
};

// The file of --api_keys with these keys, and one certificate: "gateway", a user of acme.
inline std::string KeysFile(std::initializer_list<TestKey> keys) {
  nlohmann::json file = {{"keys", nlohmann::json::array()},
                         {"certificates", {{{"common_name", "gateway"}, {"tenant", "acme"}}}}};
  for (const TestKey& key : keys) {
    const std::string text = key.text();
    std::string digest(SHA256_DIGEST_LENGTH, '\0');
    SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
           reinterpret_cast<unsigned char*>(digest.data()));
    file["keys"].push_back({{"id", key.id},
                            {"sha256", absl::BytesToHexString(digest)},
                            {"tenant", key.tenant},
                            {"role", key.role}});
  }
  return file.dump(2);
}

}  // namespace eidetic::testing

#endif  // EIDETIC_TESTS_END_TO_END_IDENTITY_FILES_H_
