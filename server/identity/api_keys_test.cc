#include "server/identity/api_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace eidetic {
namespace {

using ::testing::HasSubstr;

std::string HexSha256(const std::string& text) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return absl::BytesToHexString(digest);
}

const char kKey[] = "eid_ci_0123456789abcdef";

std::string Entry(const std::string& more = "") {
  return absl::StrCat(R"({"id": "ci", "sha256": ")", HexSha256(kKey), R"(", "tenant": "acme")",
                      more, "}");
}

std::string Refusal(const std::string& text) {
  const auto keys = ApiKeys::Parse(text);
  return keys.ok() ? "" : std::string(keys.status().message());
}

TEST(ApiKeysTest, AKeyIsFoundByItsWholeText) {
  const auto keys = ApiKeys::Parse(absl::StrCat("{\"keys\": [", Entry(), "]}"));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->FindKey(kKey), (Caller{"acme", Role::kUser, "key:ci"}));
  const std::string key = kKey;
  for (const std::string& other :
       {std::string(), std::string("eid_"), std::string("eid_ci"), std::string("eid_ci_"),
        key + "0", key.substr(0, key.size() - 1), key + "\n",
        std::string("eid_cd_") + key.substr(7), key.substr(4), "EID" + key.substr(3),
        std::string(1 << 20, 'x'), HexSha256(kKey)}) {
    EXPECT_EQ(keys->FindKey(other), std::nullopt) << other.substr(0, 80);
  }
}

TEST(ApiKeysTest, RolesAndCertificates) {
  const auto keys = ApiKeys::Parse(
      absl::StrCat("{\"keys\": [", Entry(R"(, "role": "admin")"),
                   R"(], "certificates": [{"common_name": "Gate 1", "tenant": "edge"}]})"));
  ASSERT_TRUE(keys.ok()) << keys.status();
  EXPECT_EQ(keys->FindKey(kKey)->role, Role::kAdmin);
  EXPECT_EQ(keys->FindCertificate("Gate 1"), (Caller{"edge", Role::kUser, "certificate:Gate 1"}));
  EXPECT_EQ(keys->FindCertificate("gate 1"), std::nullopt);
  EXPECT_EQ(keys->FindCertificate(""), std::nullopt);
  EXPECT_TRUE(ApiKeys::Parse("{}").ok());  // nobody is let in
}

TEST(ApiKeysTest, AMalformedFileIsRefusedByPlace) {
  const auto file = [](const std::string& entries) {
    return absl::StrCat("{\"keys\": [", entries, "]}");
  };
  const auto replaced = [&](const char* what, const char* by) {
    return Refusal(file(absl::StrReplaceAll(Entry(), {{what, by}})));
  };
  EXPECT_EQ(Refusal(file(Entry() + ", " + Entry())), "keys[1].id: is given twice");
  EXPECT_EQ(Refusal(file(Entry(R"(, "id": "cd")"))), "id: stands twice in one object");
  EXPECT_EQ(Refusal(file(Entry(R"(, "role": "root")"))),
            "keys[0].role: must be \"user\" or \"admin\"");
  EXPECT_EQ(Refusal(file(Entry(R"(, "rolle": "admin")"))), "keys[0].rolle: is not known here");
  EXPECT_EQ(replaced("\"ci\"", "\"C I\""),
            "keys[0].id: is a letter, then letters, digits and '-', lower case");
  EXPECT_THAT(replaced("\"ci\"", "\"a_b\""), HasSubstr("keys[0].id"));
  EXPECT_THAT(replaced("\"acme\"", "\"a/b\""), HasSubstr("keys[0].tenant"));
  EXPECT_EQ(replaced("\"tenant\": \"acme\"", "\"role\": \"user\""), "keys[0].tenant: is missing");
  EXPECT_THAT(replaced(HexSha256(kKey).c_str(), "00"), HasSubstr("keys[0].sha256: must be 64"));
  EXPECT_THAT(Refusal(R"({"certificates": [{"tenant": "a"}]})"),
              HasSubstr("certificates[0].common_name: is missing"));
  EXPECT_THAT(Refusal(R"({"certificates": [{"common_name": "c", "tenant": "a"},
                                           {"common_name": "c", "tenant": "b"}]})"),
              HasSubstr("certificates[1].common_name: is given twice"));
  EXPECT_EQ(Refusal(R"({"kees": []})"), "kees: is not known here");
}

TEST(ApiKeysTest, AFileThatIsNoJsonIsRefusedByLine) {
  EXPECT_THAT(Refusal("{\n  \"keys\": [}\n"), HasSubstr("line 2, column 12"));
  const std::string whole = absl::StrCat("{\"keys\": [", Entry(), "]}");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(Refusal(whole.substr(0, size)), HasSubstr("line 1")) << size;
  }
  EXPECT_THAT(Refusal(whole + whole), HasSubstr("line 1"));
  EXPECT_NE(Refusal(std::string(1 << 20, '[')), "");
  EXPECT_NE(Refusal("{\"keys\": " + std::string(100, '[') + std::string(100, ']') + "}"), "");
  EXPECT_NE(Refusal("{\"keys\": 1e999}"), "");
  EXPECT_NE(Refusal("\xff\xfe"), "");
}

}  // namespace
}  // namespace eidetic
